"""How fast a recipe gets to a quality: processor seconds and total variation, as training goes.

Every recipe is a stack of configs of `wsrl fit`, the files of one word, with commas between them.
It trains in a process of its own on one thread; at every EVERY steps, outside of the clock, the
emulator is measured on the first four stored sequences of all RNNs held out. Rows are appended to
OUT/results.csv as they come; a recipe and seed that is finished there is not run again.

    OMP_NUM_THREADS=1 python benchmarks/speedrun.py --zoo zoos/published --out runs/speedrun \
      --seconds 600 configs/emulation_fast.yaml configs/emulation_fast.yaml,mine.yaml

prints, of every recipe, where it was at the end and when it first was as good as each TARGET.

With a checkout of the official code, that is trained too, by its published settings of interactive
probing (see parity.py; --official_options for others):

    ... --official DIR --official_python VENV/bin/python
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import wsrl  # noqa: F401 isort: skip  # first: it lets lightning be imported beside a CPU torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from parity import emulate, evaluate, prepare

COLUMNS = ("recipe", "seed", "steps", "cpu_s", "loss", "validation", "ood")

OFFICIAL = ("--config=", "--cuda=0", "--encoder_open_gate_init=0", "--emulator_open_gate_init=0")
"""The published settings: other defaults are those of the configuration `interactive_1`."""


class QualityClock(Callback):
    """Measures the emulation at every ``every`` steps, and ends training after ``seconds``."""

    def __init__(
        self, results: str, recipe: str, seed: int, every: int = 100, seconds: float = 600.0
    ) -> None:
        self.results, self.every, self.seconds = Path(results), every, seconds
        self.name = {"recipe": recipe, "seed": seed}
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
        with open(self.results, "a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(self.name | row | found)
        trainer.should_stop = before - self.start >= self.seconds
        self.start += time.process_time() - before


def run_recipe(given: argparse.Namespace, recipe: str, seed: int) -> None:
    """Train one recipe with one seed, and keep what its clock says."""
    run = given.out / "runs" / f"{recipe_name(recipe)}-{seed}"
    clock = {
        "results": given.out / "results.csv",
        "recipe": recipe_name(recipe),
        "seed": seed,
        "every": given.every,
        "seconds": given.seconds,
    }
    words = [f"--config={path}" for path in recipe.split(",")]
    words += [f"--data.zoo={given.zoo}", f"--data.seed={seed}", f"--seed_everything={seed}"]
    words += [
        "--data.ood_criterion=official",
        "--trainer.limit_val_batches=0",
        "--trainer.logger=false",
        "--model.figures=false",
    ]
    words += ["--model.figures=false", "--trainer.callbacks+=speedrun.QualityClock"]
    words += [f"--trainer.callbacks.{name}={value}" for name, value in clock.items()]
    paths = [str(Path(__file__).parent.resolve()), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "wsrl", "fit", f"--run={run}", "--overwrite", *words],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )
    (run / "finished").touch()  # where it was stopped, it begins again


def run_official(given: argparse.Namespace, seed: int) -> None:
    """Train the official code in a process, on the same zoo, split and evaluated sequences."""
    run = given.out / "runs" / f"official-{seed}"
    run.mkdir(parents=True, exist_ok=True)
    prepare(given.zoo, given.out)
    runner = Path(__file__).with_name("speedrun_official.py").resolve()
    places = [given.official.resolve(), given.out.resolve(), given.out.resolve() / "results.csv"]
    numbers = [seed, given.every, given.seconds]
    options = [*OFFICIAL, f"--seed={seed}", *given.official_options]
    with open(run / "output.log", "w") as log:
        subprocess.run(
            [*map(str, [given.official_python, runner, *places, *numbers]), *options],
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    (run / "finished").touch()


def recipe_name(recipe: str) -> str:
    """Name a recipe by its files: ``a/fast.yaml,b/mine.yaml`` is ``fast+mine``."""
    return "+".join(Path(path).stem for path in recipe.split(","))


def finished(out: Path, name: str, seed: int) -> bool:
    """Say whether a recipe's run is whole; else its rows go, and it begins again."""
    if (out / "runs" / f"{name}-{seed}" / "finished").exists():
        return True
    rows = pd.read_csv(out / "results.csv")
    own = (rows.recipe == name) & (rows.seed == seed)
    if own.any():
        rows[~own].to_csv(out / "results.csv", index=False)
    return False


def table(results: Path, targets: Sequence[float]) -> str:
    """Return as Markdown where recipes ended, and their processor seconds to the targets."""
    found = pd.read_csv(results)
    shown = " | ".join(f"s to {target:g}" for target in targets)
    lines = [f"| recipe, seed | steps | CPU s | validation | OOD | {shown} |"]
    lines.append("|---" * (5 + len(targets)) + "|")
    for (recipe, seed), rows in found.groupby(["recipe", "seed"], sort=False):
        last = rows.iloc[-1]
        first = [rows[rows.validation <= target].cpu_s.min() for target in targets]
        times = " | ".join("" if value != value else f"{value:.0f}" for value in first)
        what = f"| {recipe}, s{seed} | {last.steps:.0f} | {last.cpu_s:.0f} "
        lines.append(f"{what}| {last.validation:.4f} | {last.ood:.4f} | {times} |")
    return "\n".join(lines)


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
    parser.add_argument("--official_options", nargs="+", default=[])
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    results = given.out / "results.csv"
    if not results.exists():
        results.write_text(",".join(COLUMNS) + "\n")
    for seed in given.seeds:
        if given.official and not finished(given.out, "official", seed):
            run_official(given, seed)
        for recipe in given.recipes:
            if not finished(given.out, recipe_name(recipe), seed):
                run_recipe(given, recipe, seed)
    print(table(results, given.targets))


if __name__ == "__main__":
    main()
