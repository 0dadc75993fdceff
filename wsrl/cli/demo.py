"""``wsrl demo``: the whole way, in minutes, command by command."""

import shlex
from pathlib import Path

from wsrl.cli.commands import command, run
from wsrl.terminal import say

ZOO = """
--problem formal_languages --length 22 --max_n 5 --min_difference -1 --max_difference 1
--evaluated_strings 200 --stored_strings 50 --runs 256 --snapshots [0,100,200,400,800,1200]
--hidden_size 12 --num_layers 1 --learning_rates [[0,0.02],[1200,0.002]] --group_size 128
"""
EMULATION = """
--model EmulationModule --model.loss kl --model.emulator_width 96 --model.emulator_layers 1
--model.learning_rate 2e-3 --model.clone_sequences 16 --trainer.max_steps 1000
--data.steps_per_epoch 1000
"""
ENCODER = """
--model.encoder InteractiveProbing --model.encoder.probing_length 16 --model.encoder.probe_width 64
--model.encoder.reader_width 64 --model.encoder.reader_layers 1
"""
# A larger head than a linear one would learn the few languages by heart.
PREDICTION = """
--model PredictionModule --model.target task --model.head_layers 0 --model.learning_rate 1e-2
--data.ood_to_train true --trainer.max_steps 400 --data.steps_per_epoch 400
"""
QUIET = "--trainer.logger false --trainer.enable_model_summary false"


@command("demo", goes_on=True)
def demo(*, out: str = "demo") -> None:
    """Make a zoo, an encoder and a prediction from it, in minutes.

    Builds a small zoo (27 languages, short strings, small LSTMs), pre-trains InteractiveProbing on
    it, and predicts the task from embeddings.

    Args:
        out: folder for all it makes
    """
    import torch

    torch.set_num_threads(1)  # for steps this small, more threads wait longer than they work
    folder = Path(out)
    zoo = f"--data.zoo {shlex.quote(str(folder / 'zoo'))}"
    _run("zoo build", ZOO, out=folder / "zoo")
    fit = f"{EMULATION} {ENCODER} {zoo}"
    _run("fit --ckpt_path auto", fit, QUIET, run=folder / "InteractiveProbing")
    _run("test --ckpt_path best", run=folder / "InteractiveProbing")
    pretrained = folder / "InteractiveProbing/checkpoints/best.ckpt"
    fit = f"{PREDICTION} --model.pretrained {shlex.quote(str(pretrained))} {zoo}"
    _run("fit --ckpt_path auto", fit, QUIET, run=folder / "task")
    _run("test --ckpt_path best", run=folder / "task")
    _draw(folder, pretrained)


def _run(name: str, *options: str, **where: Path) -> None:
    """Show a command, and run it."""
    text = " ".join([name, *options, *(f"--{k} {shlex.quote(str(v))}" for k, v in where.items())])
    words = shlex.split(text)
    say(f"\n$ wsrl {shlex.join(words)}")
    run(words)


def _draw(folder: Path, checkpoint: Path) -> None:
    """Write the figures of an emulation as PNG files."""
    import torch

    from wsrl.data import ZooDataModule
    from wsrl.encoders import embed
    from wsrl.safe_files import naming
    from wsrl.tasks import EmulationModule
    from wsrl.tasks.figures import draw_emulation

    module = EmulationModule.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    data = ZooDataModule(str(folder / "zoo"), eval_batch_size=10_000)
    batches = [next(iter(loader)) for loader in data.val_dataloader()]  # one whole split each
    names = data.eval_splits("validate")
    splits = [split for split, b in zip(names, batches, strict=True) for _ in range(len(b))]
    with torch.no_grad():
        embeddings = torch.cat([embed(module.encoder, batch.weights) for batch in batches])
        known = {n: torch.cat([getattr(b, n) for b in batches]) for n in ("performance", "task")}
        columns = {"embedding": embeddings, **known}
        figures = draw_emulation(module, data.zoo.problem, columns, splits, batches[0])
    for name, figure in figures.items():
        with naming(path := folder / f"{name}.png"):
            figure.savefig(path)
        say(f"written: {path}")
