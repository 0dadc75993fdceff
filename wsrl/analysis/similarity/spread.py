"""How much RNNs of one group differ, with intervals over RNNs."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from wsrl.analysis.similarity.relations import FEWEST_FOR_INTERVAL, Array

Together: TypeAlias = tuple[Sequence[int], Sequence[int]]

_SAMPLES = 1000


class Spread(NamedTuple):
    """A mean distance, or a difference of two; ``None`` where there are too few RNNs for ends."""

    mean: float
    low: float | None
    high: float | None


def mean_distance(distances: Array, samples: int = _SAMPLES) -> Spread:
    """Return the mean over all pairs of RNNs, with its interval of 95%.

    The interval is of the percentile bootstrap over RNNs; a pair of an RNN that is drawn twice with
    itself is left out.

    >>> apart = np.ones((12, 12)) - np.eye(12)
    >>> mean_distance(apart)
    Spread(mean=1.0, low=1.0, high=1.0)
    """
    mean = _mean(distances)
    if len(distances) < FEWEST_FOR_INTERVAL:
        return Spread(mean, None, None)
    times = _times(np.random.default_rng(0), len(distances), samples)
    return Spread(mean, *_ends(_resampled(distances, times)))


def spread_difference(
    one: Array, other: Array, together: Together = ((), ()), samples: int = _SAMPLES
) -> Spread:
    """Return how much more the RNNs of the other group differ than those of one.

    Args:
        one: distances within a group, ``(B, B)``.
        other: those within the other, ``(C, C)``.
        together: two lists of places, of which RNN of ``one`` belongs to which of ``other``, as one
            run at two steps. These are resampled together, all others independently.
        samples: of the bootstrap.

    >>> random = np.random.default_rng(0).normal(size=(2, 20, 1))
    >>> early = np.abs(random[0] - random[0].T)
    >>> change = spread_difference(early, 0.9 * early, (range(20), range(20)))
    >>> change.high < 0 < spread_difference(early, 0.9 * early).high
    True
    """
    difference = _mean(other) - _mean(one)
    if min(len(one), len(other)) < FEWEST_FOR_INTERVAL:
        return Spread(difference, None, None)
    random, means = np.random.default_rng(0), []
    shared = _times(random, len(together[0]), samples)
    for distances, places in zip((one, other), together, strict=True):
        alone = np.setdiff1d(np.arange(len(distances)), places)
        times = np.empty((samples, len(distances)))
        times[:, [*places]], times[:, alone] = shared, _times(random, len(alone), samples)
        means.append(_resampled(distances, times))
    return Spread(difference, *_ends(means[1] - means[0]))


def _mean(distances: Array) -> float:
    return float(distances[np.triu_indices(len(distances), 1)].mean())


def _times(random: np.random.Generator, count: int, samples: int) -> Array:
    """Return how often each RNN is in each resample, ``(samples, count)``."""
    if count == 0:
        return np.empty((samples, 0))
    return random.multinomial(count, np.full(count, 1 / count), samples).astype(np.float64)


def _resampled(distances: Array, times: Array) -> Array:
    """Return mean distances of resampled groups, ``(samples,)``."""
    sums = np.einsum("si,ij,sj->s", times, distances, times, optimize=True)
    return np.asarray(sums / (len(distances) ** 2 - (times**2).sum(1)))


def _ends(drawn: Array) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
