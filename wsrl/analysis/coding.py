"""Targets as columns of numbers that any regressor can learn, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TargetCode:
    """How a target of RNNs becomes numbers: classes are one-hot, angles points on the circle.

    The mean of codes decodes to the most frequent class, the mean value or the circular mean.

    Attributes:
        kind: ``classes``, ``real`` or ``angle`` (degrees).
        parts: numbers that a target has.
        classes: of ``classes``, how many a part chooses from.

    Raises:
        ValueError: for another kind.
    """

    kind: str
    parts: int
    classes: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("classes", "real", "angle"):
            raise ValueError(f"unknown kind {self.kind!r}; choose one of classes, real, angle")

    def encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return targets ``(n, parts)`` as numbers: ``(n, parts * numbers)``.

        A part has ``classes`` numbers (at least two), one, or two (of an angle, cosine and sine).
        """
        if self.kind == "real":
            return target.astype(np.float64)
        if self.kind == "angle":
            radians = np.deg2rad(target.astype(np.float64))
            points = np.stack([np.cos(radians), np.sin(radians)], -1)
        else:
            points = np.eye(max(self.classes, 2))[target]  # a column alone would be yes or no
        flat: NDArray[np.float64] = points.reshape(len(target), -1)
        return flat

    def decode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the targets that numbers ``(n, parts * numbers)`` stand for: ``(n, parts)``.

        Returns:
            Class indices (int64), the values, or angles in [0, 360) degrees.
        """
        if self.kind == "real":
            return values
        points = values.reshape(len(values), self.parts, -1)
        if self.kind == "classes":
            return np.asarray(points.argmax(-1))
        angles = np.rad2deg(np.arctan2(points[..., 1], points[..., 0])) % 360
        return np.where(angles < 360, angles, 0)  # what lies just below 0 rounds up to 360
