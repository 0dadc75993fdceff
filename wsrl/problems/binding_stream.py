"""The training data of variable binding: random inputs, what is to follow, a curriculum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wsrl.problems.base import Batch, TrainingStream
from wsrl.problems.binding_tasks import BindingTask
from wsrl.problems.streams import Purpose, stream

_BLOCK = 64  # steps whose draws come from one stream


@dataclass(frozen=True)
class BindingBatch(Batch):
    """Inputs ``(P, S, s, d)``, targets ``(P, S, H, d)`` of -1 and 1.

    Attributes:
        horizons: ``(P,)``, the steps after the input that count for each member, at most ``H``.
    """

    horizons: Tensor


class Continuations:
    """What members are to output: every output is one of the inputs, with a sign.

    Args:
        tasks: of the members.
        horizon: the most steps after the input.
        device: where inputs will be.
    """

    def __init__(self, tasks: Sequence[BindingTask], horizon: int, device: torch.device) -> None:
        pairs = [task.unrolled(horizon) for task in tasks]
        origins, signs = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        self._origins, self._signs = origins.to(device), signs.to(device)
        self.device = device

    def of(self, inputs: Tensor, horizon: int | None = None) -> Tensor:
        """Return the targets ``(P, S, horizon, d)`` of ``inputs (P, S, s, d)``."""
        origins, signs = self._origins[:, :horizon], self._signs[:, :horizon]
        where = origins.flatten(1)[:, None].expand(-1, inputs.shape[1], -1)
        copied = inputs.flatten(2).gather(2, where).view(*inputs.shape[:2], *origins.shape[1:])
        return copied * signs[:, None]


class Curriculum:
    """How far each member has come.

    Args:
        horizons: the steps after the input that count, ascending.
        threshold: the accuracy on a batch above which a member moves on to the next.
        members: how many.
    """

    def __init__(self, horizons: Sequence[int], threshold: float, members: int) -> None:
        self._horizons, self._threshold = torch.tensor(horizons), threshold
        self.level = torch.zeros(members, dtype=torch.long)

    @property
    def horizons(self) -> Tensor:
        """Of each member, ``(P,)``."""
        return self._horizons[self.level]

    def hear(self, accuracy: Tensor) -> None:
        """Let those move on whose ``accuracy (P,)`` is high enough."""
        passed = (accuracy > self._threshold).cpu()
        self.level = (self.level + passed).clamp(max=len(self._horizons) - 1)


class BindingStream(TrainingStream):
    """Random signs; members have horizons of their own.

    Args:
        continuations: what is to follow.
        curriculum: how much of it counts.
        members: who trains.
        seed: of the draws.
        shape: of each member's inputs in a step, ``(S, s, d)``.
    """

    def __init__(
        self,
        continuations: Continuations,
        curriculum: Curriculum,
        members: Sequence[int],
        seed: int,
        shape: tuple[int, int, int],
    ) -> None:
        self._continuations, self._curriculum = continuations, curriculum
        self._members, self._seed, self._shape = members, seed, shape
        self._block, self._draws = -1, torch.empty(0)

    def batch(self, step: int) -> BindingBatch:
        """Return the vectors of one step with what is to follow them."""
        block, within = divmod(step, _BLOCK)
        if block != self._block:
            shape = (_BLOCK, *self._shape)
            drawn = [
                stream(self._seed, Purpose.TRAINING, member, block).integers(0, 2, shape, np.int8)
                for member in self._members
            ]
            self._draws = 2 * torch.from_numpy(np.stack(drawn)) - 1
            self._block = block
        inputs = self._draws[:, within].to(self._continuations.device, torch.float32)
        horizons = self._curriculum.horizons
        targets = self._continuations.of(inputs, int(horizons.max()))
        weights = inputs.new_full(inputs.shape[:2], 1 / inputs.shape[1])
        return BindingBatch(inputs, targets, weights, horizons)

    def hear(self, accuracy: Tensor) -> None:
        """Let members that are good enough move on to the next horizon."""
        self._curriculum.hear(accuracy)

    def state(self) -> dict[str, Tensor]:
        """Return where in the curriculum each member is."""
        return {"level": self._curriculum.level}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self._curriculum.level = state["level"]
