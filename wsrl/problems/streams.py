"""Random streams that are functions of their key alone.

A stream is named by whole numbers (a seed, what it is for, a member, a block of steps), not by what
was drawn before: data do not depend on how many train together, and a step is all random state.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems.base import Batch, TrainingStream


class Purpose(IntEnum):
    """What a stream is for; part of its key, so that no two uses share numbers."""

    TASK = 0
    WEIGHTS = 1
    TRAINING = 2
    EVALUATION = 3
    ORDER = 4
    SEQUENCES = 5
    PERMUTATION = 6
    WEIGHT_DECAY = 7
    INPUTS = 8


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator named by ``(seed, purpose, *key)``; all are non-negative."""
    entropy = [seed, int(purpose), *key]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def draw_each(
    draw: Callable[[np.random.Generator], NDArray[Any]],
    members: Sequence[int],
    seed: int,
    purpose: Purpose,
    *key: int,
) -> Tensor:
    """Return draws for each member from its own stream, ``(P, ...)``."""
    return torch.from_numpy(np.stack([draw(stream(seed, purpose, m, *key)) for m in members]))


class DrawnStream(TrainingStream):
    """Batches made of what members draw: ``draws`` has for each what draws a block of ``steps``.

    ``make`` turns the numbers of one step, ``(P, ...)``, into a batch.
    """

    def __init__(
        self,
        draws: Sequence[Callable[[np.random.Generator], NDArray[Any]]],
        members: Sequence[int],
        seed: int,
        steps: int,
        device: torch.device,
        make: Callable[[Tensor], Batch],
    ) -> None:
        self._draws, self._members, self._seed, self._make = draws, members, seed, make
        self._steps, self._device = steps, device
        self._block, self._drawn = -1, torch.empty(0)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step: a function of the step and what ``make`` reads."""
        block, within = divmod(step, self._steps)
        if block != self._block:
            own = [stream(self._seed, Purpose.TRAINING, m, block) for m in self._members]
            drawn = [draw(each) for draw, each in zip(self._draws, own, strict=True)]
            self._drawn = torch.from_numpy(np.stack(drawn)).to(self._device)
            self._block = block
        return self._make(self._drawn[:, within])
