"""What training costs: parameters, steps and seconds, over all interruptions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from wsrl.strict_json import to_json
from wsrl.studies.benchmark.results import Cost
from wsrl.zoos.files import write_atomically

STRETCH = 10.0
"""Seconds of training over which a speed is measured."""


class TrainingCost(Callback):
    """Measures the time of training steps, reading of data included.

    Time is measured over stretches of many steps. A validation or a checkpoint ends a stretch, and
    its own time is not counted. A checkpoint holds the stretches up to its step, so steps that are
    made again after a restart count once. The GPU is waited for only before validations and
    checkpoints, which wait for it anyway.
    """

    def __init__(self) -> None:
        self._stretches: list[tuple[int, float]] = []
        self._since: float | None = None
        self._first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here."""
        self._since, self._first = None, trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Begin a stretch, where the last one was ended."""
        if self._since is None:
            self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Begin another stretch after some time."""
        now = time.perf_counter()
        if self._since is not None and now - self._since >= STRETCH:
            self._end_stretch(trainer, now)
            self._since = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the stretch."""
        if self._since is None:
            return
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).synchronize(pl_module.device)
        self._end_stretch(trainer, time.perf_counter())
        self._since = None

    on_train_end = on_validation_start

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """End the stretch, and have the checkpoint hold all there are."""
        self.on_validation_start(trainer, pl_module)
        checkpoint["cost"] = [list(stretch) for stretch in self._stretches]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from the stretches up to the checkpoint; a damaged one is a ``ValueError``."""
        known = checkpoint.get("cost", [])
        try:
            self._stretches = [(int(steps), float(seconds)) for steps, seconds in known]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint's cost is no steps and seconds: {error}") from error

    def write(self, path: Path, module: LightningModule) -> None:
        """Write what training took as JSON; nothing where no step was measured."""
        steps = sum(steps for steps, _ in self._stretches)
        if steps == 0:
            return
        own = dict(module.named_children()).get("encoder")
        cost = Cost(
            parameters=sum(p.numel() for p in module.parameters() if p.requires_grad),
            encoder_parameters=sum(p.numel() for p in own.parameters()) if own else 0,
            steps=steps,
            seconds=sum(seconds for _, seconds in self._stretches),
            steps_per_second=median_speed(self._stretches),
        )
        write_atomically(path, (to_json(asdict(cost), indent=2) + "\n").encode())

    def _end_stretch(self, trainer: Trainer, now: float) -> None:
        assert self._since is not None
        done = trainer.global_step
        self._stretches.append((done - self._first, now - self._since))
        self._first = done


def median_speed(stretches: Sequence[tuple[int, float]]) -> float:
    """Return the steps a second at which half of all steps were made no faster, half no slower."""
    steps, seconds = np.array([each for each in stretches if all(each)]).T
    speeds = steps / seconds
    order = speeds.argsort()
    until = steps[order].cumsum()  # steps made no faster
    return float(speeds[order][np.searchsorted(until, until[-1] / 2)])
