"""Training ends with an error when its loss or its weights are no longer finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from wsrl.studies.training.processes import largest
from wsrl.tasks import TaskModule
from wsrl.tasks.state_dicts import not_finite

EVERY = 50
"""Losses are checked after so many batches: each check waits for the GPU."""

_NEVER = 2**62


class DivergedError(ValueError):
    """A loss, a measure of validation or a weight is no longer finite."""


class DivergenceCheck(Callback):
    """Ends training that diverged, in all processes at once, before it gets into a checkpoint.

    Losses are checked every ``EVERY`` batches, before validations and before checkpoints; weights
    before training and before checkpoints; the monitored metric after validations.
    """

    def __init__(self) -> None:
        self._losses: list[tuple[int, Tensor]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the first weights: a checkpoint may be of a run that diverged."""
        if name := not_finite(pl_module):
            of = f", in {trainer.ckpt_path}" if trainer.ckpt_path else ""
            raise ValueError(
                f"{name} is not finite before the first step{of}; nothing can be trained from it"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        if isinstance(loss := outputs.get("loss"), Tensor):
            self._losses.append((trainer.global_step, loss.detach().float().mean()))
        if (batch_idx + 1) % EVERY == 0:
            self._check_losses(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses."""
        if not trainer.sanity_checking:
            self._check_losses(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the monitored metric, which is the same in all processes."""
        name = pl_module.monitor if isinstance(pl_module, TaskModule) else ""
        measure = float(trainer.callback_metrics.get(name, 0.0))
        if not trainer.sanity_checking and not math.isfinite(measure):
            raise DivergedError(
                f"training diverged: {name} is {measure} after step {trainer.global_step}"
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check losses and weights before they are saved."""
        self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last losses and weights."""
        self._check_losses(trainer)
        name = not_finite(pl_module)
        if largest(trainer, [int(name is not None)]) == [1]:
            raise DivergedError(
                f"training diverged: {name or 'a weight'} is not finite at step "
                f"{trainer.global_step}"
            )

    def _check_losses(self, trainer: Trainer) -> None:
        losses, self._losses = self._losses, []
        values = torch.stack([loss for _, loss in losses]).tolist() if losses else []
        bad = [i for i, value in enumerate(values) if not math.isfinite(value)]
        step, value = (losses[bad[0]][0], values[bad[0]]) if bad else (_NEVER, math.nan)
        first = -largest(trainer, [-step])[0]
        if first < _NEVER:
            of = "" if step == first else " in another process"
            raise DivergedError(f"training diverged: the loss is {value} at step {first}{of}")
