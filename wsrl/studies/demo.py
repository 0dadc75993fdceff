"""The demonstration: a zoo, an encoder pre-trained on it, a property predicted from its embeddings.

Everything is small (27 languages, short strings, small LSTMs), so that it takes minutes on two
cores.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything

from wsrl.analysis.figures import embedding_map
from wsrl.data import ZooDataModule
from wsrl.encoders import ProbingEncoder, get_encoder
from wsrl.problems import FormalLanguages
from wsrl.safe_files import naming
from wsrl.studies.tables import print_table
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.tasks.figures import draw_outputs, draw_probing
from wsrl.terminal import say
from wsrl.zoos import BuildSettings, build_zoo

PROBLEM = FormalLanguages(
    length=22,
    max_n=5,
    min_difference=-1,
    max_difference=1,
    evaluated_strings=200,
    stored_strings=50,
)
BUILD = BuildSettings(
    runs=256,
    snapshots=(0, 100, 200, 400, 800, 1200),
    hidden_size=12,
    num_layers=1,
    learning_rates=((0, 0.02), (1200, 0.002)),
    group_size=128,
)
PROBING = {"probing_length": 16, "probe_width": 64, "reader_width": 64, "reader_layers": 1}
ENCODERS: dict[str, dict[str, Any]] = {"InteractiveProbing": PROBING, "ConstantEmbedding": {}}
EMULATION_STEPS, PREDICTION_STEPS = 1000, 400
SPLITS = ("validation", "ood")
MEASURES = {
    "total_variation": "emulation: TV",
    "clone_difference": "clones: score difference",
}


def run_demo(out: str | Path) -> None:
    """Build a small zoo, pre-train InteractiveProbing on it, predict the task from embeddings."""
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(1)  # for steps this small, more threads wait longer than they work
    folder = Path(out)
    say(f"1/4  a zoo of {BUILD.runs} LSTMs, each trained on a formal language")
    build_zoo(folder / "zoo", PROBLEM, BUILD)
    results = {}
    for number, (name, options) in enumerate(ENCODERS.items(), 2):
        say(f"{number}/4  emulation: train {name} and the emulator that reads its embeddings")
        seed_everything(0, verbose=False)
        data = ZooDataModule(str(folder / "zoo"), steps_per_epoch=500)
        emulation = EmulationModule(
            partial(get_encoder(name), **options),
            data.spec,
            loss="kl",
            emulator_width=96,
            emulator_layers=1,
            learning_rate=2e-3,
            clone_sequences=16,
            figures=False,
        )
        results[name] = fit_and_test(emulation, data, EMULATION_STEPS, folder / f"{name}.ckpt")
    say("4/4  prediction: the task, from the frozen embeddings of InteractiveProbing")
    seed_everything(0, verbose=False)
    data = ZooDataModule(str(folder / "zoo"), steps_per_epoch=500, ood_to_train=True)
    checkpoint = folder / "InteractiveProbing.ckpt"
    prediction = PredictionModule(
        "task",
        data.targets,
        data.spec,
        pretrained=str(checkpoint),
        head_layers=0,  # a larger head learns the few languages by heart
        learning_rate=1e-2,
    )
    print_results(results, fit_and_test(prediction, data, PREDICTION_STEPS))
    draw(folder, checkpoint)


def fit_and_test(
    module: LightningModule, data: ZooDataModule, steps: int, checkpoint: Path | None = None
) -> Mapping[str, float]:
    """Train for so many steps, test, and keep a checkpoint; return the metrics."""
    trainer = Trainer(
        max_steps=steps,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    if checkpoint is not None:
        trainer.save_checkpoint(checkpoint)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def print_results(
    emulation: Mapping[str, Mapping[str, float]], prediction: Mapping[str, float]
) -> None:
    """Print what was learned beside what knows nothing of the weights: a constant, or chance."""
    encoder, baseline = (emulation[name] for name in ENCODERS)
    classes = len(PROBLEM.targets(BUILD.snapshots)["task"].values)
    cells = []
    for name, title in MEASURES.items():
        for split in SPLITS:
            values = [f"{metrics[f'{split}/{name}']:.3f}" for metrics in (encoder, baseline)]
            cells.append([f"{title}, {split}", *values])
    for split in SPLITS:
        accuracy = f"{prediction[f'{split}/part_accuracy']:.1%}"
        cells.append([f"task: each difference, {split}", accuracy, f"{1 / classes:.1%}"])
    print_table(["", "embeddings", "baseline"], cells)


@torch.no_grad()
def draw(folder: Path, checkpoint: Path) -> None:
    """Write the figures of an emulation as PNG files."""
    module = EmulationModule.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    assert isinstance(module.encoder, ProbingEncoder)
    data = ZooDataModule(str(folder / "zoo"), eval_batch_size=10_000)
    batches = [next(iter(loader)) for loader in data.val_dataloader()]  # one whole split each
    maps = embedding_map(
        torch.cat([module.embed(batch.weights) for batch in batches]).numpy(),
        torch.cat([batch.performance for batch in batches]).numpy(),
        torch.cat([batch.task for batch in batches]).numpy(),
        [split for split, batch in zip(SPLITS, batches, strict=True) for _ in batch.task],
        task_entries=PROBLEM.task_entries(),
    )
    figures = {
        "outputs": draw_outputs(module, batches[0], PROBLEM),
        "probing": draw_probing(module, module.encoder, batches[0], PROBLEM),
        "embeddings": maps,
    }
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        with naming(path):
            figure.savefig(path)
        say(f"written: {path}")
