"""How fast a recipe gets to a quality: processor seconds and total variation, as training goes.

A recipe is a stack of configs of `wsrl fit`, joined by commas; its name is that of its files. It
trains in a process of its own on one thread. At every EVERY steps the clock stops, and the emulator
is measured on the first four stored sequences of all RNNs held out: OUT/NAME/SEED.csv. What is
there already is not run again.

    python benchmarks/speedrun.py configs/emulation_fast.yaml configs/emulation_fast.yaml,my.yaml \
      --zoo zoos/published --out runs/speedrun --seconds 600 --seeds 0 1 2

prints, of every recipe, where it was at the end and when it first was as good as each TARGET.

With a checkout of the official code, that is trained too, by its published settings of interactive
probing, or with others (NAME=VALUE; see parity.py):

    ... --official DIR --official_python VENV/bin/python --official_options learning_rate=0.001
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import wsrl  # noqa: F401 isort: skip  # first: it lets lightning be imported beside a CPU torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from matplotlib.figure import Figure
from parity import emulate, evaluate, prepare

COLUMNS = ("steps", "cpu_s", "loss", "validation", "ood")
OFFICIAL = ("config=", "cuda=0", "encoder_open_gate_init=0", "emulator_open_gate_init=0")
"""The published settings: other defaults are those of the configuration `interactive_1`."""


class QualityClock(Callback):
    """Measures the emulation at every ``every`` steps, and ends training after ``seconds``."""

    def __init__(self, curve: str, every: int = 100, seconds: float = 600.0) -> None:
        self.curve, self.every, self.seconds = Path(curve), every, seconds
        self.losses: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.start = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure, with the clock stopped, when it is time to."""
        self.losses.append(float(outputs["loss"]))
        if trainer.global_step % self.every:
            return
        before = time.process_time()
        averages = [each for each in trainer.callbacks if isinstance(each, WeightAveraging)]
        for average in averages:
            average._swap_models(pl_module)
        pl_module.eval()
        data = trainer.datamodule  # type: ignore[attr-defined]
        rows = {name: torch.from_numpy(data.rows(name)) for name in ("validation", "ood")}
        found = evaluate(data, {name: emulate(pl_module, data, of) for name, of in rows.items()})
        pl_module.train()
        for average in averages:
            average._swap_models(pl_module)
        loss, self.losses = sum(self.losses) / len(self.losses), []
        row = {"steps": trainer.global_step, "cpu_s": round(before - self.start, 1), "loss": loss}
        with open(self.curve, "a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row | found)
        trainer.should_stop = before - self.start >= self.seconds
        self.start += time.process_time() - before


def run_recipe(given: argparse.Namespace, recipe: str, seed: int, curve: Path) -> None:
    """Train one recipe with one seed; its clock writes the curve."""
    clock = {"curve": curve, "every": given.every, "seconds": given.seconds}
    words = [f"--config={path}" for path in recipe.split(",")]
    words += [f"--data.zoo={given.zoo}", f"--data.seed={seed}", f"--seed_everything={seed}"]
    words += ["--data.ood_criterion=official", "--trainer.limit_val_batches=0"]
    words += ["--trainer.logger=false", "--model.figures=false", "--overwrite"]
    words += ["--trainer.callbacks+=speedrun.QualityClock"]
    words += [f"--trainer.callbacks.{name}={value}" for name, value in clock.items()]
    paths = [str(Path(__file__).parent.resolve()), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "wsrl", "fit", f"--run={curve.parent / str(seed)}", *words],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )


def run_official(given: argparse.Namespace, seed: int, curve: Path) -> None:
    """Train the official code in a process, on the same zoo, split and evaluated sequences."""
    prepared = given.out / "prepared"
    prepared.mkdir(exist_ok=True)
    prepare(given.zoo, prepared)
    runner = Path(__file__).with_name("speedrun_official.py").resolve()
    places = [path.resolve() for path in (given.official, prepared, curve)]
    options = [f"--{each}" for each in (*OFFICIAL, f"seed={seed}", *given.official_options)]
    command = [given.official_python, runner, *places, given.every, given.seconds, *options]
    with open(curve.with_suffix(".log"), "w") as log:
        subprocess.run(
            [*map(str, command)],
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def run(given: argparse.Namespace, name: str, recipe: str, seed: int) -> None:
    """Run a recipe with one seed, or the official code, unless its curve is there."""
    whole = given.out / name / f"{seed}.csv"
    if whole.exists():
        return
    whole.parent.mkdir(exist_ok=True)
    part = whole.with_suffix(".part.csv")  # where it was stopped, it begins again
    part.write_text(",".join(COLUMNS) + "\n")
    if recipe:
        run_recipe(given, recipe, seed, part)
    else:
        run_official(given, seed, part)
    part.rename(whole)


def curves(out: Path, names: Sequence[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield names, seeds and curves of all recipes that are finished, the empty ones left out."""
    for name in names:
        for path in sorted((out / name).glob("*[0-9].csv")):
            rows = pd.read_csv(path)
            if len(rows):
                yield name, path.stem, rows


def table(out: Path, names: Sequence[str], targets: Sequence[float]) -> str:
    """Return as Markdown where recipes ended, and their processor seconds to the targets."""
    shown = " | ".join(f"s to {target:g}" for target in targets)
    lines = [f"| recipe, seed | steps | CPU s | validation | OOD | {shown} |"]
    lines.append("|---" * (5 + len(targets)) + "|")
    for name, seed, rows in curves(out, names):
        last = rows.iloc[-1]
        first = [rows[rows.validation <= target].cpu_s.min() for target in targets]
        times = " | ".join("" if value != value else f"{value:.0f}" for value in first)
        what = f"| {name}, s{seed} | {last.steps:.0f} | {last.cpu_s:.0f} "
        lines.append(f"{what}| {last.validation:.4f} | {last.ood:.4f} | {times} |")
    return "\n".join(lines)


def draw(out: Path, names: Sequence[str], figure: Path) -> None:
    """Draw validation total variation against processor seconds, a line a recipe and seed."""
    axes = Figure(figsize=(7, 4), layout="constrained").subplots()
    for name, seed, rows in curves(out, names):
        color = f"C{names.index(name)}"
        axes.loglog(rows.cpu_s, rows.validation, color=color, label=f"{name}, seed {seed}")
    axes.set(xlabel="processor seconds of training", ylabel="validation total variation")
    axes.legend()
    axes.figure.savefig(figure, dpi=120)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--targets", nargs="+", type=float, default=[0.05, 0.04, 0.03, 0.02, 0.015])
    parser.add_argument("--official", type=Path)
    parser.add_argument("--official_python", default=sys.executable)
    parser.add_argument("--official_options", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--figure", type=Path, help="an image of all curves")
    given = parser.parse_args(words)
    if not given.zoo.is_dir():
        parser.error(f"no zoo at {given.zoo}: the page docs/speedrun.md says how it is built")
    recipes = {
        "+".join(Path(path).stem for path in each.split(",")): each for each in given.recipes
    }
    if len(recipes) < len(given.recipes):
        parser.error("two recipes have files of the same names: rename one")
    if given.official:
        recipes = {"+".join(["official", *given.official_options]): "", **recipes}
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        for name, recipe in recipes.items():
            run(given, name, recipe, seed)
    print(table(given.out, [*recipes], given.targets))
    if given.figure:
        draw(given.out, [*recipes], given.figure)


if __name__ == "__main__":
    main()
