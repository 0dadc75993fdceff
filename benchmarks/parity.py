"""wsrl's six published encoders beside the official code, at equal zoo, split, sizes, steps, seeds.

A zoo of languages (built if it is not there) is exported as the official code reads it, with the
rows of the official split beside it. Every encoder is trained on it with its emulator and then
evaluated on the same sequences of all RNNs: mean total variation on each split, beside the
processor seconds of training. The results are appended to OUT/results.csv as they come; what is
there already is not done again.

    OMP_NUM_THREADS=1 python benchmarks/parity.py --zoo zoos/parity --out runs/parity

With a checkout of github.com/vincentherrmann/rnn-weights-representation-learning, that is trained
as well, unchanged, by parity_official.py in a process of its own. Give it a Python that has what
the checkout's requirements name:

    ... --official DIR --official_python VENV/bin/python
"""

from __future__ import annotations

import argparse
import csv
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wsrl.data import ZooDataModule
from wsrl.problems import FormalLanguages
from wsrl.tasks import EmulationModule
from wsrl.tasks.losses import total_variation
from wsrl.zoos import BuildSettings, build_zoo, export_published

SPLITS = ("train", "validation", "ood")
PICKS = 4  # stored sequences of every RNN that are evaluated
WIDTH, LEARNING_RATE = 64, 2e-3  # of emulator and readers, of one layer; of both sides
PROBING = {"reader_width": WIDTH, "reader_layers": 1, "open_forget_gates": False}
READER = {"encoder_core_num_layers": 1, "encoder_core_hidden_size": WIDTH}
ENCODERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "InteractiveProbing": (PROBING, {"encoder_type": "interactive", **READER}),
    "NoninteractiveProbing": (PROBING, {"encoder_type": "noninteractive", **READER}),
    "LayerwiseStatistics": (
        {"width": 128, "depth": 1},
        {"encoder_type": "layerwise_statistics"},
    ),
    "FlattenedWeights": (
        {"width": 128, "depth": 3},
        {"encoder_type": "flat", "encoder_core_num_layers": 3, "encoder_core_hidden_size": 128},
    ),
    "DeepWeightSpace": (
        {"channels": 16, "depth": 3},
        {"encoder_type": "nf", "encoder_core_num_layers": 3, "encoder_core_hidden_size": 16},
    ),
    "ParameterTransformer": (
        {"width": 32, "depth": 2, "heads": 2},
        {
            "encoder_type": "parameter_transformer",
            "encoder_core_num_layers": 2,
            "encoder_core_hidden_size": 32,
            "encoder_num_heads": 2,
        },
    ),
}
"""Options of wsrl, and of the official command line, that make the same encoder."""

PERMUTED = {"FlattenedWeights", "ParameterTransformer"}
OFFICIAL_LOSSES = {"total_variation": "total_variation", "kl": "kl", "reverse_kl": "kl_reverse"}
COLUMNS = ("loss", "steps", "seed", "encoder", "side", *SPLITS, "cpu_s", "split")


def prepare(zoo: Path, out: Path) -> ZooDataModule:
    """Build and export the zoo where that is not done; write rows and sequences of the splits."""
    if not zoo.exists():
        settings = BuildSettings(
            runs=128, snapshots=(0, 100, 200, 500, 1000, 2000), hidden_size=32, num_layers=2
        )
        build_zoo(zoo, FormalLanguages(), settings, device="cpu")
    data = ZooDataModule(str(zoo), ood_criterion="official")
    if not (out / "export").exists():
        export_published(str(zoo), str(out / "export"))
    exported = np.load(out / "export" / "parameters.npy", mmap_mode="r")
    assert np.array_equal(exported[::97], data.zoo.read("weights")[::97].numpy())  # rows as ours
    np.savez(out / "split.npz", picks=PICKS, **{name: data.rows(name) for name in SPLITS})
    return data


def train_own(given: argparse.Namespace, name: str, seed: int) -> tuple[EmulationModule, float]:
    """Train one of wsrl's encoders; return the module and the processor seconds."""
    import lightning  # after wsrl, which lets it be imported beside a CPU torch

    torch.set_num_threads(1)
    lightning.seed_everything(seed, verbose=False)
    data = ZooDataModule(
        str(given.zoo), seed=seed, ood_criterion="official", permute=name in PERMUTED
    )
    module = EmulationModule(
        {"class_path": name, "init_args": ENCODERS[name][0]},
        data.spec,
        loss=given.loss,
        emulator_width=WIDTH,
        emulator_layers=1,
        open_forget_gates=False,
        learning_rate=LEARNING_RATE,
        clone_rnns=0,
        figures=False,
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=given.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.process_time()
    trainer.fit(module, data)
    return module.eval(), time.process_time() - start


@torch.no_grad()
def emulate(module: EmulationModule, data: ZooDataModule, rows: Tensor) -> Tensor:
    """Return the emulator's logits ``(n, PICKS, T, O)`` on the evaluated sequences."""
    parts = []
    for part in rows.split(256):
        sequences, _ = data.zoo.read_sequences(part, torch.arange(PICKS).expand(len(part), -1))
        parts.append(module(data.zoo.read_weights(part), data.problem.encode(sequences)))
    return torch.cat(parts)


def train_official(given: argparse.Namespace, name: str, seed: int) -> dict[str, np.ndarray]:
    """Train one of the official encoders in a process; return what parity_official.py saves."""
    options = {
        "config": "",  # with `--config NAME` the official code ignores its other options
        "cuda": 0,
        "seed": seed,
        "total_training_steps": given.steps - 1,  # it makes one step more
        "criterion": OFFICIAL_LOSSES[given.loss],
        "learning_rate": LEARNING_RATE,
        "emulator_num_layers": 1,
        "emulator_hidden_size": WIDTH,
        "emulator_open_gate_init": 0,
        "encoder_open_gate_init": 0,
        **ENCODERS[name][1],
    }
    runner = Path(__file__).with_name("parity_official.py").resolve()
    saved = given.out / f"official-{name}-{given.loss}-{given.steps}-{seed}.npz"
    command = [given.official_python, runner, given.official.resolve(), given.out.resolve(), saved]
    with open(saved.with_suffix(".log"), "w") as log:
        subprocess.run(
            [*map(str, command), *(f"--{key}={value}" for key, value in options.items())],
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    with np.load(saved) as found:
        return dict(found)


def evaluate(data: ZooDataModule, logits: dict[str, Tensor]) -> dict[str, float]:
    """Return the mean total variation of each split, of logits ``(n, PICKS, T, O)``."""
    losses = {}
    for name, student in logits.items():
        rows = torch.from_numpy(data.rows(name))
        _, teacher = data.zoo.read_sequences(rows, torch.arange(PICKS).expand(len(rows), -1))
        losses[name] = float(total_variation(student.float(), teacher.float()).mean())
    return losses


def run_cell(
    given: argparse.Namespace, data: ZooDataModule, side: str, name: str, seed: int
) -> dict[str, Any]:
    """Train and evaluate one encoder of one side."""
    split = "own"
    if side == "wsrl":
        module, seconds = train_own(given, name, seed)
        rows = {split: torch.from_numpy(data.rows(split)) for split in SPLITS}
        logits = {split: emulate(module, data, of) for split, of in rows.items()}
    else:
        found = train_official(given, name, seed)
        logits = {split: torch.from_numpy(found[split]) for split in SPLITS}
        seconds = float(found["seconds"])
        split = "own" if found["same_split"] else "ours"  # its own one, or forced
    return {**evaluate(data, logits), "cpu_s": round(seconds, 1), "split": split}


def cells(given: argparse.Namespace) -> Iterator[tuple[int, str, str]]:
    """Name the cells, seed by seed: seed, encoder, side."""
    sides = ["wsrl", *(["official"] if given.official else [])]
    return itertools.product(given.seeds, given.encoders, sides)


def table(results: Path) -> str:
    """Return the results as a Markdown table, official beside wsrl."""
    found = pd.read_csv(results)
    keys = ["loss", "steps", "encoder", "seed"]
    wide = found.pivot_table(index=keys, columns="side", values=[*SPLITS, "cpu_s"])
    lines = [
        "| encoder, loss, steps, seed | train | validation | OOD | CPU s |",
        "|---|---|---|---|---|",
    ]
    for (loss, steps, encoder, seed), row in wide.iterrows():
        shown = []
        for name in (*SPLITS, "cpu_s"):
            form = "{:.0f}" if name == "cpu_s" else "{:.4f}"
            sides = (row.get((name, side), float("nan")) for side in ("official", "wsrl"))
            shown.append(" / ".join(map(form.format, sides)))
        lines.append(f"| {encoder}, {loss}, {steps}, s{seed} | {' | '.join(shown)} |")
    return "\n".join(["official / wsrl", "", *lines])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoders", nargs="+", default=[*ENCODERS], choices=[*ENCODERS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--loss", default="total_variation", choices=[*OFFICIAL_LOSSES])
    parser.add_argument("--official", type=Path)
    parser.add_argument("--official_python", default=sys.executable)
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    data, results = prepare(given.zoo, given.out), given.out / "results.csv"
    if not results.exists():
        results.write_text(",".join(COLUMNS) + "\n")
    for seed, name, side in cells(given):
        what = {"loss": given.loss, "steps": given.steps, "seed": seed, "encoder": name}
        what["side"] = side
        with open(results, newline="") as file:
            done = [{key: row[key] for key in what} for row in csv.DictReader(file)]
        if {key: str(value) for key, value in what.items()} in done:
            continue
        row = what | run_cell(given, data, side, name, seed)
        with open(results, "a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        print(row, flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
