"""Properties read off embeddings, with what the validation RNNs say of their certainty.

A property is read by the head of a prediction run, or off the nearest RNNs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.calibration import conformal_radius, share_right
from wsrl.analysis.neighbours import nearest
from wsrl.problems import Target
from wsrl.studies.inspection.records import Property
from wsrl.tasks import PredictionModule
from wsrl.tasks.targets import TargetKind

Array = NDArray[np.float64]


class Guess(NamedTuple):
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


class NeighbourGuesser:
    """Lets the nearest RNNs of the zoo vote, or takes their mean.

    Args:
        kind: of what is read.
        truth: ``(n, parts)``, what the zoo's RNNs are; NaN where that is not known.
        embedding: ``(n, D)``, theirs.
        run: ``(n,)``, the run that each is a snapshot of.
        count: how many neighbours.
    """

    source = "neighbours"

    def __init__(
        self, kind: TargetKind, truth: Array, embedding: Array, run: NDArray[np.int64], count: int
    ) -> None:
        known = np.isfinite(truth).all(1)
        self._kind, self._count = kind, count
        self._codes = kind.encode(torch.from_numpy(truth[known]))
        self._embedding, self._run = embedding[known], run[known]

    def __call__(self, embedding: Array, own_runs: NDArray[np.int64] | None = None) -> Guess:
        """Read embeddings ``(m, D)``; the neighbours of each are of other runs than its own."""
        groups = None if own_runs is None else self._run
        _, indices = nearest(self._embedding, embedding, self._count, groups, own_runs)
        codes = self._codes[torch.from_numpy(indices)].mean(1)  # (m, parts, numbers)
        values = self._kind.decode(codes).double().numpy()
        shares = codes.amax(2).numpy() if self._kind.discrete else np.ones_like(values)
        return Guess(values, shares)


class HeadGuesser:
    """Asks the head of a prediction run that was trained on this very encoder.

    Args:
        module: of the run.
        source: its checkpoint.
    """

    def __init__(self, module: PredictionModule, source: str) -> None:
        self._module, self.source = module, source

    @torch.no_grad()
    def __call__(self, embedding: Array, own_runs: NDArray[np.int64] | None = None) -> Guess:
        """Read embeddings ``(m, D)``; the head was not trained on validation RNNs anyway."""
        del own_runs
        values = self._module(torch.from_numpy(embedding).to(self._module.dtype))
        decided = self._module.decide(values).double().numpy()
        return Guess(decided, self._module.kind.confidence(values).double().numpy())


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
        kind, source = self.kind.name, self._guesser.source
        return Property(self.name, kind, values, text, (), (), tuple(parts), exact, source)

    def _measured(self, guess: Guess, coverage: float) -> Property:
        values, period = guess.values[0], self.target.period
        held, truth = torch.from_numpy(self._held.values), torch.from_numpy(self._truth)
        errors = self.kind.difference(held, truth).numpy()
        radii = np.array([conformal_radius(part, coverage) for part in errors.T])
        if period is not None:
            radii = np.minimum(radii, period / 2)  # the whole circle
        low, high = values - radii, values + radii
        text = ", ".join(map(_with_interval, values, low, high))
        numbers, low, high = (tuple(each.tolist()) for each in (values, low, high))
        source = self._guesser.source
        return Property(self.name, self.kind.name, numbers, text, low, high, (), None, source)


def _with_interval(value: float, low: float, high: float) -> str:
    known = f"{low:.4g} to {high:.4g}" if np.isfinite(high) else "too few RNNs for an interval"
    return f"{value:.4g} ({known})"
