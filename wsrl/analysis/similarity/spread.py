"""How much RNNs of one group differ, with intervals over RNNs."""

from typing import NamedTuple

import numpy as np

from wsrl.analysis.similarity.relations import FEWEST_FOR_INTERVAL, Array

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
    return Spread(mean, *_ends(_resampled(distances, samples, 0)))


def spread_difference(one: Array, other: Array, samples: int = _SAMPLES) -> Spread:
    """Return how much more the RNNs of the other group differ than those of one.

    Both groups are resampled independently.
    """
    difference = _mean(other) - _mean(one)
    if min(len(one), len(other)) < FEWEST_FOR_INTERVAL:
        return Spread(difference, None, None)
    drawn = _resampled(other, samples, 1) - _resampled(one, samples, 0)
    return Spread(difference, *_ends(drawn))


def _mean(distances: Array) -> float:
    return float(distances[np.triu_indices(len(distances), 1)].mean())


def _resampled(distances: Array, samples: int, seed: int) -> Array:
    """Return mean distances of resampled groups, ``(samples,)``."""
    random, count = np.random.default_rng(seed), len(distances)
    times = random.multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)
    sums = np.einsum("si,ij,sj->s", times, distances, times, optimize=True)
    return np.asarray(sums / (count**2 - (times**2).sum(1)))


def _ends(drawn: Array) -> tuple[float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
