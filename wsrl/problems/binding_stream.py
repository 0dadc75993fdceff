"""The training data of variable binding: random inputs, their targets, a curriculum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wsrl.problems.base import Batch, TrainingStream
from wsrl.problems.binding_tasks import BindingTask
from wsrl.problems.streams import TrainingDraws

_BLOCK = 64  # steps whose draws come from one stream


@dataclass(frozen=True)
class BindingBatch(Batch):
    """Inputs ``(P, S, s, d)`` and targets ``(P, S, H, d)`` of -1 and 1.

    ``horizons (P,)`` are the steps after the input that count for each member, at most ``H``.
    """

    horizons: Tensor


class Continuations:
    """What members are to output after the input: each output is one of the inputs, with a sign."""

    def __init__(self, tasks: Sequence[BindingTask], horizon: int, device: torch.device) -> None:
        pairs = [task.unrolled(horizon) for task in tasks]
        origins, signs = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        self._origins, self._signs = origins.to(device), signs.to(device)

    def of(self, inputs: Tensor, horizon: int | None = None) -> Tensor:
        """Return the targets ``(P, S, horizon, d)`` of ``inputs (P, S, s, d)``."""
        origins, signs = self._origins[:, :horizon], self._signs[:, :horizon]
        where = origins.flatten(1)[:, None].expand(-1, inputs.shape[1], -1)
        copied = inputs.flatten(2).gather(2, where).view(*inputs.shape[:2], *origins.shape[1:])
        return copied * signs[:, None]


class BindingStream(TrainingStream):
    """Random signs; how many steps after the input count is each member's own (a curriculum).

    A member begins with the first of ``horizons``, and moves on after an accuracy on a batch above
    ``threshold``. ``shape`` is that of its inputs in a step, ``(S, s, d)``.
    """

    def __init__(
        self,
        tasks: Sequence[BindingTask],
        horizons: Sequence[int],
        threshold: float,
        members: Sequence[int],
        seed: int,
        shape: tuple[int, int, int],
        device: torch.device,
    ) -> None:
        self._continuations = Continuations(tasks, horizons[-1], device)
        self._horizons, self._threshold = torch.tensor(horizons), threshold
        self._level = torch.zeros(len(members), dtype=torch.long)
        draws = [lambda own: own.integers(0, 2, (_BLOCK, *shape), np.int8)] * len(members)
        self._draws = TrainingDraws(draws, members, seed, _BLOCK, device)

    def batch(self, step: int) -> BindingBatch:
        """Return the vectors of one step and their targets."""
        inputs = (2 * self._draws.at(step) - 1).float()
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
