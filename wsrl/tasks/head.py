"""The small network that reads a property out of an embedding."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class RunningScale(nn.Module):
    """Mean and standard deviation of all values seen so far.

    Lets a network predict values of any unit in a scale where they are around 0 and 1.

    Args:
        parts: how many numbers a value has, each with its own scale.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(parts))
        self.register_buffer("variance", torch.ones(parts))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take ``values (B, parts)`` into account."""
        total = self.count + len(values)
        share = len(values) / total
        shift = values.mean(0) - self.mean
        spread = values.var(0, correction=0)
        # The initial variance belongs to a count of 0 and drops out here.
        self.variance.copy_(
            (1 - share) * self.variance + share * spread + share * (1 - share) * shift**2
        )
        self.mean.add_(share * shift)
        self.count.copy_(total)

    def standardise(self, values: Tensor) -> Tensor:
        """Return ``values (B, parts)`` less their mean, over their standard deviation."""
        return (values - self.mean) / self._deviation()

    def restore(self, values: Tensor) -> Tensor:
        """Undo ``standardise``."""
        return values * self._deviation() + self.mean

    def _deviation(self) -> Tensor:
        return self.variance.sqrt().clamp(min=1e-6)


def on_circle(degrees: Tensor) -> Tensor:
    """Return angles ``(...)`` as points of the unit circle, ``(..., 2)``."""
    radians = degrees.deg2rad()
    return torch.stack([radians.cos(), radians.sin()], -1)


def to_degrees(points: Tensor) -> Tensor:
    """Return the angles of points ``(..., 2)``, in [0, 360) degrees: ``(...)``."""
    angles = torch.atan2(points[..., 1], points[..., 0]).rad2deg() % 360
    return torch.where(angles == 360, 0, angles)  # what lies just below 0 rounds up to 360


class PredictionHead(nn.Sequential):
    """A multi-layer perceptron with ReLUs.

    Args:
        inputs: size of an embedding.
        outputs: values to predict.
        width: neurons of a hidden layer.
        layers: hidden layers; 0 makes it linear.

    Raises:
        ValueError: for a negative number of layers or an empty one.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 128, layers: int = 2) -> None:
        if layers < 0 or width < 1:
            raise ValueError(
                "a head has 0 or more hidden layers of 1 or more neurons, "
                f"not {layers} (head_layers) of {width} (head_width)"
            )
        sizes = [inputs, *[width] * layers]
        hidden: list[nn.Module] = []
        for before, after in pairwise(sizes):
            hidden += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*hidden, nn.Linear(sizes[-1], outputs))
