"""Training ends with an error when its loss or its weights are no longer finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from wsrl.studies.training.processes import smallest
from wsrl.studies.training.runs import WORDS, Run
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

    Raises:
        DivergedError: in the hooks, naming the step.
    """

    def __init__(self) -> None:
        self._losses: list[tuple[int, Tensor]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the first weights: a checkpoint may be of a run that diverged.

        Raises:
            ValueError: where they are not finite.
        """
        if name := not_finite(pl_module):
            raise ValueError(
                f"{name} is not finite before the first step{_of(trainer)}; nothing can be trained "
                "from it"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss, and check all kept losses now and then."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._losses.append((trainer.global_step, loss.detach()))
        if (batch_idx + 1) % EVERY == 0:
            self._check_losses(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses."""
        if not trainer.sanity_checking:
            self._check_losses(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the monitored metric, which is the same in all processes."""
        if trainer.sanity_checking or not isinstance(pl_module, TaskModule):
            return
        measure = trainer.callback_metrics.get(pl_module.monitor)
        if measure is not None and not math.isfinite(measure):
            raise DivergedError(
                f"training diverged: {pl_module.monitor} is {float(measure)} after step "
                f"{trainer.global_step}"
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check losses and weights before they are saved."""
        self._check_all(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last losses and weights."""
        self._check_all(trainer, pl_module)

    def _check_losses(self, trainer: Trainer) -> None:
        step, value = _NEVER, math.nan
        if self._losses:
            values = torch.stack([loss.float().mean() for _, loss in self._losses]).cpu()
            for (at, _), found in zip(self._losses, values.tolist(), strict=True):
                if not math.isfinite(found):
                    step, value = at, found
                    break
            self._losses = []
        (first,) = smallest(trainer, [step])
        if first < _NEVER:
            of = "" if step == first else " in another process"
            raise DivergedError(f"training diverged: the loss is {value} at step {first}{of}")

    def _check_all(self, trainer: Trainer, module: LightningModule) -> None:
        self._check_losses(trainer)
        name = not_finite(module)
        if smallest(trainer, [_NEVER if name is None else 0]) == [0]:
            raise DivergedError(
                f"training diverged: {name or 'a weight'} is not finite at step "
                f"{trainer.global_step}"
            )


def _of(trainer: Trainer) -> str:
    return f", in {trainer.ckpt_path}" if trainer.ckpt_path else ""


def how_on(run: Run, model: LightningModule) -> str:
    """Say which checkpoints a diverged run has, and what may help."""
    kept = [str(path) for path in map(run.checkpoint, WORDS) if path.exists()]
    held = f"{' and '.join(kept)} hold what was before" if kept else "no checkpoint was kept"
    rate = getattr(model, "learning_rate", None)
    return f"{held}. Try a lower --model.learning_rate" + (f" than {rate:g}" if rate else "")


def check_measured(checkpoint: Path, monitor: str, metrics: Mapping[str, float]) -> None:
    """Check that an evaluation measured something.

    Args:
        checkpoint: that was evaluated.
        monitor: the metric that checkpoints are chosen by.
        metrics: by name.

    Raises:
        ValueError: where that metric is not finite.
    """
    value = metrics.get(monitor, 0.0)
    if not math.isfinite(value):
        raise ValueError(
            f"{checkpoint}: {monitor} is {value}, as of a model whose training diverged; nothing "
            "is written"
        )


def check_embedded(checkpoint: Path, results: Sequence[Sequence[Mapping[str, Tensor]]]) -> None:
    """Check that a prediction gave any finite embedding; single RNNs may have none.

    Args:
        checkpoint: that predicted.
        results: for every split, its batches.

    Raises:
        ValueError: where it gave none.
    """
    embeddings = [
        batch["embedding"] for batches in results for batch in batches if "embedding" in batch
    ]
    if embeddings and not any(bool(each.isfinite().all(-1).any()) for each in embeddings):
        raise ValueError(
            f"{checkpoint} gives no finite embedding, as of a model whose training diverged; "
            "nothing is written"
        )
