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


class BindingStream(TrainingStream):
    """Random signs; how many steps after the input count is each member's own (a curriculum).

    Args:
        continuations: what is to follow.
        horizons: the steps that count, ascending; a member begins with the first.
        threshold: the accuracy on a batch above which a member moves on to the next horizon.
        members: who trains.
        seed: of the draws.
        shape: of each member's inputs in a step, ``(S, s, d)``.
    """

    def __init__(
        self,
        continuations: Continuations,
        horizons: Sequence[int],
        threshold: float,
        members: Sequence[int],
        seed: int,
        shape: tuple[int, int, int],
    ) -> None:
        self._continuations, self._threshold = continuations, threshold
        self._horizons = torch.tensor(horizons)
        self._level = torch.zeros(len(members), dtype=torch.long)
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
        horizons = self._horizons[self._level]
        targets = self._continuations.of(inputs, int(horizons.max()))
        weights = inputs.new_full(inputs.shape[:2], 1 / inputs.shape[1])
        return BindingBatch(inputs, targets, weights, horizons)

    def observe(self, accuracy: Tensor) -> None:
        """Let members that are accurate enough, ``(P,)``, move on to the next horizon."""
        passed = (accuracy > self._threshold).cpu()
        self._level = (self._level + passed).clamp(max=len(self._horizons) - 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return where in the curriculum each member is."""
        return {"level": self._level}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self._level = state["level"]
