"""Training ends with an error when its loss or its weights are no longer finite."""

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

    def __init__(self, what: str) -> None:
        advice = "what was saved before is kept. Try a lower --model.learning_rate"
        super().__init__(f"training diverged: {what}; {advice}")


class DivergenceCheck(Callback):
    """Ends training that diverged, in all processes at once, before it gets into a checkpoint.

    Losses are checked every ``EVERY`` batches, before validations and before checkpoints; weights
    before checkpoints; the monitored metric after validations.
    """

    def __init__(self) -> None:
        self._losses: list[tuple[int, Tensor]] = []

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
            raise DivergedError(f"{name} is {measure} after step {trainer.global_step}")

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
            raise DivergedError(f"{name or 'a weight'} is not finite at step {trainer.global_step}")

    def _check_losses(self, trainer: Trainer) -> None:
        losses, self._losses = self._losses, []
        finite = torch.stack([loss for _, loss in losses]).isfinite().tolist() if losses else []
        bad = [step for (step, _), fine in zip(losses, finite, strict=True) if not fine]
        (first,) = largest(trainer, [-min(bad, default=_NEVER)])
        if -first < _NEVER:
            raise DivergedError(f"the loss is not finite at step {-first}")
