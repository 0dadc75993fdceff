"""Two ways to read a property: by the head of a prediction run, or by the nearest RNNs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.neighbours import nearest
from wsrl.studies.inspection.readers import Array, Guess
from wsrl.tasks import PredictionModule
from wsrl.tasks.targets import TargetKind


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
