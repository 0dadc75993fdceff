"""Properties read off embeddings, with what the validation RNNs say of their certainty.

A property is read by the head of a prediction run, or off the nearest RNNs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
Rows = NDArray[np.int64]

Guess: TypeAlias = tuple[Array, Array]
"""Values ``(m, parts)``, class indices or numbers, and how sure each is (of numbers ones)."""

Guesser: TypeAlias = Callable[[Array, Rows | None], Guess]
"""Reads a property off embeddings ``(m, D)``; of the zoo's RNNs, without help of their own run."""


def by_neighbours(kind: TargetKind, truth: Array, points: Array, run: Rows, count: int) -> Guesser:
    """Let the nearest RNNs vote, or take their mean.

    Of the zoo's RNNs, ``truth`` ``(n, parts)`` is what they are (NaN where that is not known),
    ``points`` ``(n, D)`` their embeddings, ``run`` ``(n,)`` the run of each.
    """
    known = np.isfinite(truth).all(1)
    codes, points, run = kind.encode(torch.from_numpy(truth[known])), points[known], run[known]

    def guess(asked: Array, own_runs: Rows | None) -> Guess:
        _, indices = nearest(points, asked, count, run, own_runs)
        mean = codes[torch.from_numpy(indices)].mean(1)  # (m, parts, numbers)
        values = kind.decode(mean).double().numpy()
        return values, mean.amax(2).numpy() if kind.discrete else np.ones_like(values)

    return guess


def by_head(module: PredictionModule) -> Guesser:
    """Ask the head of a prediction run, which was not trained on validation RNNs anyway."""

    @torch.no_grad()
    def guess(asked: Array, own_runs: Rows | None) -> Guess:
        values = module(torch.from_numpy(asked).to(module.dtype))
        decided, confidence = module.decide(values), module.kind.confidence(values)
        return decided.double().numpy(), confidence.double().numpy()

    return guess


@dataclass(frozen=True)
class PropertyReader:
    """Reads one property, and knows what it ``guess``ed of validation RNNs, and the truth.

    ``spell`` says what the values of classes stand for, where that has a name.
    """

    name: str
    target: Target
    kind: TargetKind
    source: str
    guess: Guesser
    held_out: Guess
    truth: Array  # (v, parts), all known
    spell: Callable[[Sequence[float]], str] | None = None

    def read(self, embedding: Array, coverage: float) -> Property:
        """Read the property of one RNN, ``(1, D)``, with intervals of a coverage."""
        (values,), (confidence,) = self.guess(embedding, None)
        held, sure = self.held_out
        if self.kind.discrete:
            indices, right = values.astype(int), held == self.truth
            known = tuple((self.target.labels or self.target.values)[index] for index in indices)
            spelled = self.spell and self.spell([self.target.values[index] for index in indices])
            return Property(
                self.name,
                self.kind.name,
                known,
                spelled or self.kind.spell(known),
                self.source,
                probabilities=tuple(share_right(sure, right, part) for part in confidence),
                exact=share_right(sure.prod(1), right.all(1), float(confidence.prod())),
            )
        errors = self.kind.difference(torch.from_numpy(held), torch.from_numpy(self.truth))
        radii = np.array([conformal_radius(part, coverage) for part in errors.numpy().T])
        if self.target.period is not None:
            radii = np.minimum(radii, self.target.period / 2)  # the whole circle
        numbers, low, high = (tuple(e.tolist()) for e in (values, values - radii, values + radii))
        parts = zip(numbers, low, high, strict=True)
        text = ", ".join(f"{number:.4g} ({_interval(*ends)})" for number, *ends in parts)
        return Property(self.name, self.kind.name, numbers, text, self.source, low, high)


def _interval(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}" if np.isfinite(high) else "too few RNNs for an interval"
