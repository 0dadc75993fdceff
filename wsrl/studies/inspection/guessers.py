"""Two ways to read a property: by the head of a prediction run, or by the nearest RNNs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.neighbours import circular_mean, nearest, votes
from wsrl.problems import Target
from wsrl.studies.inspection.readers import Array, Guess
from wsrl.tasks import PredictionModule


class NeighbourGuesser:
    """Lets the nearest RNNs of the zoo vote, or takes their mean.

    Args:
        target: what is read.
        truth: ``(n, parts)``, what the zoo's RNNs are; NaN where that is not known.
        embedding: ``(n, D)``, theirs.
        run: ``(n,)``, the run that each is a snapshot of.
        count: how many neighbours.
    """

    source = "neighbours"

    def __init__(
        self, target: Target, truth: Array, embedding: Array, run: NDArray[np.int64], count: int
    ) -> None:
        known = np.isfinite(truth).all(1)
        self._target, self._count = target, count
        self._truth, self._embedding, self._run = truth[known], embedding[known], run[known]

    def __call__(self, embedding: Array, own_runs: NDArray[np.int64] | None = None) -> Guess:
        """Read embeddings ``(m, D)``; the neighbours of each are of other runs than its own."""
        groups = None if own_runs is None else self._run
        _, indices = nearest(self._embedding, embedding, self._count, groups, own_runs)
        theirs = self._truth[indices]
        if self._target.kind == "classes":
            shares = votes(theirs.astype(np.int64), len(self._target.values))
            return Guess(shares.argmax(2).astype(np.float64), shares.max(2))
        period = self._target.period
        values = theirs.mean(1) if period is None else circular_mean(theirs, period)
        return Guess(values, np.ones_like(values))


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
