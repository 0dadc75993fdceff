"""Metrics of a split, collected over batches and processes by torchmetrics.

Means keep NaN (``nan_strategy="disable"``): a diverged model must not look like a good one.
"""

from __future__ import annotations

from typing import cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, distributed, nn
from torchmetrics import KendallRankCorrCoef, MeanAbsoluteError, MeanMetric, Metric, R2Score

from wsrl.tasks.losses import LOSSES

EMULATION_METRICS: dict[str, tuple[str, ...]] = {
    "categorical": ("total_variation", "reverse_kl"),
    "real": ("mean_squared_error",),
}
"""Losses measured of every emulator whatever it was trained with, by the kind of outputs."""

CLONE_METRICS = ("clone_score", "original_score", "clone_difference")


def emulation_metrics(output_kind: str, clones: bool) -> nn.ModuleDict:
    """Return a mean for every loss that is measured and for its partner with shuffled embeddings.

    Args:
        output_kind: ``categorical`` or ``real``.
        clones: whether to add means for the scores of the clones.
    """
    losses = EMULATION_METRICS[output_kind]
    names = (*losses, *(f"shuffled_{name}" for name in losses), *(CLONE_METRICS if clones else ()))
    return nn.ModuleDict({name: _mean() for name in names})


def update_emulation_metrics(
    metrics: nn.ModuleDict, emulated: Tensor, outputs: Tensor, output_kind: str, prefix: str = ""
) -> dict[str, Tensor]:
    """Add a batch to what ``emulation_metrics`` returned.

    Args:
        metrics: the metrics.
        emulated: ``(B, S, T, O)``, what the emulator said.
        outputs: what the RNNs said.
        output_kind: ``categorical`` or ``real``.
        prefix: ``shuffled_`` where the embeddings were others'.

    Returns:
        The losses that were measured, ``(B, S, T)``.
    """
    losses = {name: LOSSES[name](emulated, outputs) for name in EMULATION_METRICS[output_kind]}
    for name, values in losses.items():
        update(metrics, prefix + name, values)
    return losses


def of_each(measured: Tensor) -> Tensor:
    """Return the mean of each RNN's measurements ``(B, ...)``: ``(B,)``."""
    return measured.flatten(1).mean(1) if measured.ndim > 1 else measured


def prediction_metrics(
    kind: str, parts: int, period: float | None = None, loss: bool = True
) -> nn.ModuleDict:
    """Return the metrics of a predicted property.

    Args:
        kind: of the target. ``classes``: ``exact_match`` (all parts right) and ``part_accuracy``
            (a part right). ``real``: ``mae``, ``r2`` and ``kendall_tau`` (tau-b).
        parts: numbers a target has; metrics are averaged over them.
        period: of numbers on a circle: adds ``angular_error``, the mean absolute one the short way
            round, at most half a period.
        loss: whether to add the mean of its ``loss``.
    """
    metrics: dict[str, nn.Module] = {"loss": _mean()} if loss else {}
    if kind == "classes":
        metrics |= {"exact_match": _mean(), "part_accuracy": _mean()}
    elif kind == "real":
        metrics |= {"mae": MeanAbsoluteError(), "r2": R2Score()}
        metrics["kendall_tau"] = KendallRankCorrCoef(num_outputs=parts)
    if period is not None:
        metrics["angular_error"] = AngularError(period)
    return nn.ModuleDict(metrics)


def update_prediction_metrics(
    metrics: nn.ModuleDict, losses: Tensor | None, predicted: Tensor, target: Tensor
) -> None:
    """Add a batch to what ``prediction_metrics`` returned.

    Args:
        metrics: the metrics.
        losses: ``(B,)``; ``None`` where they are not among the metrics.
        predicted: ``(B, parts)``, class indices, real values or degrees.
        target: the same of the truth.
    """
    if losses is not None:
        update(metrics, "loss", losses)
    if "exact_match" in metrics:
        right = predicted == target
        update(metrics, "exact_match", right.all(1).float())
        update(metrics, "part_accuracy", right.float())
    if "angular_error" in metrics:
        update(metrics, "angular_error", predicted, target)
    if "mae" in metrics:
        # One part goes in as a vector: the rank correlation of one output expects that.
        pair = (predicted.squeeze(1), target.squeeze(1))
        for name in ("mae", "r2", "kendall_tau"):
            update(metrics, name, *pair)


def update(metrics: nn.ModuleDict, name: str, *values: Tensor) -> None:
    """Give a batch's values to one of several metrics."""
    cast(Metric, metrics[name]).update(*values)


def everywhere(module: LightningModule, values: Tensor) -> Tensor:
    """Return the values of all processes, ``(processes, *shape)``; the same shape on each.

    Lightning's own ways to do so wait for the GPU, or warn of what will be removed from PyTorch.
    """
    processes = module.trainer.world_size if module._trainer is not None else 1
    if processes == 1:
        return values[None]
    values = values.contiguous()
    gathered = [torch.empty_like(values) for _ in range(processes)]
    distributed.all_gather(gathered, values)
    return torch.stack(gathered)


def log_loss(module: LightningModule, loss: Tensor, batch_size: int) -> None:
    """Log a training step's loss as ``train/loss``: its mean over all processes."""
    mean = everywhere(module, loss.detach()).mean()  # their shares are equal
    module.log("train/loss", mean, batch_size=batch_size)


def log_metrics(module: LightningModule, split: str, metrics: nn.ModuleDict, shown: str) -> None:
    """Log the metrics of a split as ``<split>/<name>``, out of an evaluation step.

    Lightning computes and resets them at the end of the epoch. All are logged at every step, used
    or not: every process must log the same ones.

    Args:
        module: whose they are.
        split: the split.
        metrics: its metrics.
        shown: the one that the progress bar shows.
    """
    for name, metric in metrics.items():
        module.log(
            f"{split}/{name}",
            cast(Metric, metric),
            prog_bar=name == shown,
            add_dataloader_idx=False,
        )


class AngularError(Metric):
    """Mean absolute difference of numbers on a circle, the short way round.

    Args:
        period: what goes once round the circle.
    """

    total: Tensor
    count: Tensor

    def __init__(self, period: float) -> None:
        super().__init__()
        self.period = period
        self.add_state("total", torch.zeros(()), "sum")
        self.add_state("count", torch.zeros(()), "sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Add a batch of any shape."""
        half = self.period / 2
        self.total += ((predicted - target + half) % self.period - half).abs().sum()
        self.count += target.numel()

    def compute(self) -> Tensor:
        """Return the mean, at most half a period."""
        return self.total / self.count


def _mean() -> MeanMetric:
    return MeanMetric(nan_strategy="disable")
