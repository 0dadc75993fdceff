"""The official code, unchanged, with the clock of speedrun.py, which starts this.

    python speedrun_official.py CHECKOUT PREPARED RESULTS.csv SEED EVERY SECONDS --OPTION=VALUE ...

PREPARED is as of parity_official.py. wsrl is not needed.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_official import emulate, official, train
from torch.optim.optimizer import register_optimizer_step_post_hook

ASIDE = ("create_eval_logging_dict", "evaluate_clones", "visualize_embedding_space")
"""What the official script evaluates by: the clock stops, as in wsrl's validations."""


class Enough(Exception):
    """Training took as many seconds as it may."""


def total_variation(model: torch.nn.Module, prepared: Path, split: str) -> float:
    """Return the mean on the prepared sequences."""
    rows = np.load(prepared / "split.npz")
    teacher = np.load(prepared / "export" / "logits.npy", mmap_mode="r")
    teacher = torch.from_numpy(teacher[rows[split], : int(rows["picks"])]).float()
    student = torch.from_numpy(emulate(model, prepared, split)).float()
    return float(0.5 * (student.softmax(-1) - teacher.softmax(-1)).abs().sum(-1).mean())


class Clock:
    """Processor seconds of training, and a row of results at every ``every`` steps."""

    def __init__(
        self, models: list[torch.nn.Module], prepared: Path, results: Path, *numbers: float
    ) -> None:
        self.models, self.prepared, self.results = models, prepared, results
        self.seed, self.every, self.seconds = numbers
        self.steps, self.aside = 0, 0.0
        self.start = time.process_time()

    def stopped(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same work, with the clock stopped while it is done."""

        def wrapped(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            found = work(*args, **options)
            self.aside += time.process_time() - start
            return found

        return wrapped

    def tick(self, *_: Any) -> None:
        """Count a step of the optimiser."""
        self.steps += 1
        if self.steps % self.every:
            return
        seconds = time.process_time() - self.start - self.aside
        self.stopped(self.measure)(seconds)
        if seconds >= self.seconds:
            raise Enough

    def measure(self, seconds: float) -> None:
        """Write a row."""
        model = self.models[0].eval()
        found = [total_variation(model, self.prepared, name) for name in ("validation", "ood")]
        model.train()
        with open(self.results, "a", newline="") as file:
            row = ["official", int(self.seed), self.steps, round(seconds, 1), "nan", *found]
            csv.writer(file).writerow(row)


def main(checkout: Path, prepared: Path, results: Path, numbers: list[str]) -> None:
    with official(checkout, prepared, numbers[3:]) as (script, models, _):
        clock = Clock(models, prepared, results, *map(float, numbers[:3]))
        for name in ASIDE:
            setattr(script, name, clock.stopped(getattr(script, name)))
        register_optimizer_step_post_hook(clock.tick)
        try:
            train(script)
        except Enough:
            print(f"{clock.steps} steps")


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]), sys.argv[4:])
