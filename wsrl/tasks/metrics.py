"""Metrics of a split, collected over batches and processes by torchmetrics.

A metric is NaN where it is not defined: a mean of nothing, ``r2`` and ``kendall_tau`` of a constant
target, as of a single RNN. Means keep NaN (``nan_strategy="disable"``): a diverged model must not
look like a good one.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, distributed
from torchmetrics import MeanMetric, Metric
from torchmetrics.functional.regression import kendall_rank_corrcoef
from torchmetrics.utilities import dim_zero_cat

EMULATION_METRICS: dict[str, tuple[str, ...]] = {
    "categorical": ("total_variation", "reverse_kl"),
    "real": ("mean_squared_error",),
}
"""Losses measured of every emulator whatever it was trained with, by the kind of outputs."""

CLONE_METRICS = ("clone_score", "original_score", "clone_difference")


def everywhere(values: Tensor) -> Tensor:
    """Return the values of all processes, ``(processes, *shape)``; the same shape on each.

    Lightning's own ways to do so wait for the GPU, or warn of what will be removed from PyTorch.
    """
    if not distributed.is_initialized():
        return values[None]
    values = values.contiguous()
    gathered = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, values)
    return torch.stack(gathered)


class MeanOf(MeanMetric):
    """The mean of a measure of predictions and targets ``(B, parts)``; NaN of nothing."""

    def __init__(self, measure: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(nan_strategy="disable")
        self.measure = measure

    def update(self, predicted: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Add a batch ``(B, parts)``."""
        super().update(self.measure(predicted, target))


class SplitScore(Metric):
    """A score of all predictions and targets ``(n, parts)`` of a split together; ``n`` may be 0."""

    predicted: list[Tensor]
    target: list[Tensor]

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.score = score
        self.add_state("predicted", [], "cat")
        self.add_state("target", [], "cat")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Add a batch ``(B, parts)``."""
        self.predicted.append(predicted)
        self.target.append(target)

    def compute(self) -> Tensor:
        """Return the score."""
        if len(self.predicted) == 0:
            return torch.tensor(torch.nan, device=self.device)
        return self.score(dim_zero_cat(self.predicted), dim_zero_cat(self.target))


def r2(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the coefficient of determination of ``(n, parts)``, averaged over parts.

    It is NaN where a part of the target is the same in all rows, as in a single one.
    """
    device, dtype = target.device, torch.promote_types(target.dtype, torch.float32)
    predicted, target = (values.cpu().double() for values in (predicted, target))
    unexplained = (target - predicted).square().sum(0)
    spread = (target - target.mean(0)).square().sum(0).masked_fill(is_constant(target), torch.nan)
    return (1 - unexplained / spread).mean().to(device, dtype)


def kendall_tau(predicted: Tensor, target: Tensor) -> Tensor:
    """Return Kendall's tau-b, averaged over parts; NaN where one is constant, or has a NaN."""
    constant = is_constant(predicted) | is_constant(target)
    if constant.any() or predicted.isnan().any() or target.isnan().any():
        return predicted.new_tensor(torch.nan)
    pairs = zip(predicted.unbind(1), target.unbind(1), strict=True)
    return torch.stack([cast(Tensor, kendall_rank_corrcoef(*pair)) for pair in pairs]).mean()


def is_constant(values: Tensor) -> Tensor:
    """Say of each part of ``(n, parts)`` whether it is the same in all rows; of no rows, too."""
    return (values == values[:1]).all(0)


def mean() -> MeanMetric:
    """Return a mean that keeps NaN."""
    return MeanMetric(nan_strategy="disable")
