"""Rank correlations between distances of RNNs, and an order of RNNs for heat maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]
Levels = NDArray[np.intp]
Times = NDArray[Any]

FEWEST = 4
"""RNNs of which a relation is computed: 6 pairs."""

FEWEST_FOR_INTERVAL = 10
"""Runs of which an interval is given: resamples of fewer hold too few different ones."""

_SAMPLES, _SEED = 1000, 0


@dataclass(frozen=True)
class Relation:
    """Spearman's rank correlation of two distances over the pairs of RNNs.

    Attributes:
        correlation: NaN where it is not defined: for too few RNNs, or equal distances.
        low: end of the interval of 95%; ``None`` where there is none.
        high: its other end.
        runs: runs of these RNNs.
        rnns: RNNs with both distances.
        pairs: pairs with both.
    """

    correlation: float
    low: float | None
    high: float | None
    runs: int
    rnns: int
    pairs: int


def rank_relation(
    one: Array, other: Array, runs: Sequence[int] | None = None, samples: int = _SAMPLES
) -> Relation:
    """Return the rank correlation of two distances over the pairs of RNNs.

    The interval is of the percentile bootstrap over runs, not over pairs, nor over snapshots of a
    run: pairs that share a run are not independent. Pairs of a run drawn twice with itself are left
    out.

    Args:
        one: distances ``(B, B)``, NaN where there is none.
        other: distances ``(B, B)``.
        runs: a number for each RNN, equal where they are snapshots of one run; by default none are.
        samples: of the bootstrap.

    >>> points = np.arange(12.0) ** 2
    >>> apart = np.abs(points[:, None] - points)
    >>> found = rank_relation(apart, np.sqrt(apart), samples=50)
    >>> round(found.correlation, 6), round(found.low, 6), found.pairs
    (1.0, 1.0, 66)
    """
    known = np.isfinite(one) & np.isfinite(other)
    np.fill_diagonal(known, False)
    runs = range(len(one)) if runs is None else runs
    own = np.unique(runs, return_inverse=True)[1]
    known_runs = np.unique(own[known.any(1)])
    counts = len(known_runs), int(known.any(1).sum()), int(known.sum()) // 2
    if counts[1] < FEWEST:
        return Relation(float("nan"), None, None, *counts)
    rows, columns = np.nonzero(np.triu(known))
    # Equal distances have one rank.
    mine, theirs = (np.unique(d[rows, columns], return_inverse=True)[1] for d in (one, other))
    found = _correlation(mine, theirs, np.ones(len(rows)))
    if len(known_runs) < FEWEST_FOR_INTERVAL or np.isnan(found):
        return Relation(found, None, None, *counts)
    random, drawn = np.random.default_rng(_SEED), []
    first, second = own[rows], own[columns]
    for _ in range(samples):
        times = np.bincount(random.choice(known_runs, len(known_runs)), minlength=own.max() + 1)
        both = np.where(first == second, times[first], times[first] * times[second])
        drawn.append(_correlation(mine, theirs, both))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Relation(found, float(low), float(high), *counts)


def _correlation(one: Levels, other: Levels, times: Times) -> float:
    """Return the rank correlation of pairs that are there so many times, NaN if undefined."""
    if not times.any():  # a resample may hold no two RNNs with a distance
        return float("nan")
    centred = []
    for levels in (one, other):
        sums = np.bincount(levels, times)
        ranks = (np.cumsum(sums) - sums / 2)[levels]
        centred.append(ranks - np.average(ranks, weights=times))
    mine, theirs = centred
    size = float((times * mine**2).sum() * (times * theirs**2).sum()) ** 0.5
    return float((times * mine * theirs).sum()) / size if size > 0 else float("nan")


def cluster_order(distances: Array) -> list[int]:
    """Return an order of RNNs in which alike ones are beside each other.

    By average linkage with the best order of leaves. Where RNNs have no distance it is taken to be
    the largest that there is.

    >>> points = np.array([0.0, 5.0, 0.1, 5.2])
    >>> cluster_order(np.abs(points[:, None] - points))
    [0, 2, 1, 3]
    """
    if len(distances) < 3:
        return list(range(len(distances)))
    known = np.isfinite(distances)
    filled = np.where(known, distances, distances[known].max(initial=0.0))
    condensed = squareform(filled, checks=False)
    return [int(each) for each in leaves_list(linkage(condensed, "average", True))]
