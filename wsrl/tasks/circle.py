"""Numbers on a circle, as angles: points, distances the short way round."""

from __future__ import annotations

import torch
from torch import Tensor


def on_circle(degrees: Tensor) -> Tensor:
    """Return angles ``(...)`` as points of the unit circle, ``(..., 2)``."""
    radians = degrees.deg2rad()
    return torch.stack([radians.cos(), radians.sin()], -1)


def to_degrees(points: Tensor) -> Tensor:
    """Return the angles of points ``(..., 2)``, in [0, 360) degrees: ``(...)``."""
    angles = torch.atan2(points[..., 1], points[..., 0]).rad2deg() % 360
    return torch.where(angles == 360, 0, angles)  # just below 0 rounds up to 360


def circle_distance(one: Tensor, other: Tensor, period: float | None) -> Tensor:
    """Return absolute differences, the short way round where numbers are on a circle."""
    if period is None:
        return (one - other).abs()
    return ((one - other + period / 2) % period - period / 2).abs()
