"""Properties read off embeddings, with what the validation RNNs say of their certainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.calibration import conformal_radius, share_right
from wsrl.problems import Target
from wsrl.studies.inspection.records import Property
from wsrl.tasks.targets import TargetKind

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """What is read off ``m`` embeddings.

    Attributes:
        values: ``(m, parts)``: class indices, or numbers.
        confidence: ``(m, parts)``, of classes: rises with certainty; of numbers ones.
    """

    values: Array
    confidence: Array


class Guesser(Protocol):
    """Reads one property off embeddings."""

    source: str

    def __call__(self, embedding: Array, own_runs: NDArray[np.int64] | None = None) -> Guess:
        """Read embeddings ``(m, D)``; of RNNs of the zoo, without help of their own run."""


class PropertyReader:
    """Reads one property, and knows how wrong it was on validation RNNs.

    Args:
        name: of the property.
        target: what it is.
        kind: its kind.
        guesser: reads it.
        held_out: what it reads off validation RNNs.
        truth: what they are, ``(v, parts)``.
        spell: says what the values of classes stand for, where that has a name.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        kind: TargetKind,
        guesser: Guesser,
        held_out: Guess,
        truth: Array,
        spell: Callable[[Sequence[float]], str] | None = None,
    ) -> None:
        self.name, self.target, self.kind = name, target, kind
        self._guesser, self._spell = guesser, spell
        known = np.isfinite(truth).all(1)
        self._held = Guess(held_out.values[known], held_out.confidence[known])
        self._truth = truth[known]

    def read(self, embedding: Array, coverage: float) -> Property:
        """Read the property of one RNN.

        Args:
            embedding: ``(1, D)``.
            coverage: of intervals.
        """
        guess = self._guesser(embedding)
        if self.kind.discrete:
            return self._classified(guess)
        return self._measured(guess, coverage)

    def _classified(self, guess: Guess) -> Property:
        indices = guess.values[0].astype(int)
        right = self._held.values == self._truth
        parts = [
            share_right(self._held.confidence, right, confidence)
            for confidence in guess.confidence[0]
        ]
        exact = share_right(
            self._held.confidence.prod(1), right.all(1), float(guess.confidence[0].prod())
        )
        values = tuple((self.target.labels or self.target.values)[index] for index in indices)
        if self._spell is None:
            text = self.kind.spell(values)
        else:
            text = self._spell([self.target.values[index] for index in indices])
        return self._property(values, text, (), (), tuple(parts), exact)

    def _measured(self, guess: Guess, coverage: float) -> Property:
        values, target = guess.values[0], self.target
        held, truth = torch.from_numpy(self._held.values), torch.from_numpy(self._truth)
        errors = self.kind.difference(held, truth).numpy()
        radii = np.array([conformal_radius(part, coverage) for part in errors.T])
        if target.period is not None:
            radii = np.minimum(radii, target.period / 2)  # the whole circle
        low, high = values - radii, values + radii
        text = ", ".join(map(_with_interval, values, low, high))
        return self._property(_floats(values), text, _floats(low), _floats(high), (), None)

    def _property(
        self,
        values: tuple[float | str, ...],
        text: str,
        low: tuple[float, ...],
        high: tuple[float, ...],
        probabilities: tuple[float, ...],
        exact: float | None,
    ) -> Property:
        kind, source = self.kind.name, self._guesser.source
        return Property(self.name, kind, values, text, low, high, probabilities, exact, source)


def _with_interval(value: float, low: float, high: float) -> str:
    known = f"{low:.4g} to {high:.4g}" if np.isfinite(high) else "too few RNNs for an interval"
    return f"{value:.4g} ({known})"


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
