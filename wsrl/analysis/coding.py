"""What readouts need to know of a target."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class TargetCode(Protocol):
    """How a target of RNNs becomes numbers that any regressor can learn, and back.

    The mean of codes decodes to the most frequent class, the mean value or the circular mean. The
    kinds of targets in ``wsrl.tasks.targets`` are such codes.
    """

    @property
    def discrete(self) -> bool:
        """Whether a part of the target is the index of a class."""

    @property
    def parts(self) -> int:
        """How many numbers a target has."""

    def encode(self, target: Tensor) -> Tensor:
        """Return targets ``(n, parts)`` as numbers: ``(n, parts, numbers)``."""

    def decode(self, values: Tensor) -> Tensor:
        """Return the targets that numbers ``(n, parts, numbers)`` stand for: ``(n, parts)``."""
