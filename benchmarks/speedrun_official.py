"""The official code, unchanged, with the clock of speedrun.py, which starts this.

    python speedrun_official.py CHECKOUT PREPARED CURVE.csv EVERY SECONDS --OPTION=VALUE ...

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
    """Processor seconds of training, and a row of its curve at every ``every`` steps."""

    def __init__(
        self, models: list[torch.nn.Module], prepared: Path, curve: Path, every: int, seconds: float
    ) -> None:
        self.models, self.prepared, self.curve = models, prepared, curve
        self.every, self.seconds = every, seconds
        self.steps, self.aside, self.start = 0, 0.0, 0.0

    def begun(self, iteration: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same training iteration; before the first, the clock starts."""

        def wrapped(*args: Any, **options: Any) -> Any:
            if not self.start:
                self.start, self.aside = time.process_time(), 0.0
            return iteration(*args, **options)

        return wrapped

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
        with open(self.curve, "a", newline="") as file:
            csv.writer(file).writerow([self.steps, round(seconds, 1), "nan", *found])


def main(checkout: Path, prepared: Path, curve: Path, words: list[str]) -> None:
    every, seconds, *options = words
    with official(checkout, prepared, options) as (script, models, _):
        clock = Clock(models, prepared, curve, int(every), float(seconds))
        for name in ASIDE:
            setattr(script, name, clock.stopped(getattr(script, name)))
        script.training_iteration = clock.begun(script.training_iteration)
        register_optimizer_step_post_hook(clock.tick)
        try:
            train(script)
        except Enough:
            print(f"{clock.steps} steps")


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]), sys.argv[4:])
