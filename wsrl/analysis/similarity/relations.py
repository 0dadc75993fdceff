"""Which distances between RNNs say something about which others; the order of heat maps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

Array = NDArray[np.float64]

FEWEST = 4
"""RNNs of which a relation is computed: 6 pairs."""

FEWEST_FOR_INTERVAL = 10
"""RNNs of which an interval is given: resamples of fewer hold too few different RNNs."""

_SAMPLES, _SEED = 1000, 0


@dataclass(frozen=True)
class Relation:
    """Spearman's rank correlation of two distances over the pairs of RNNs.

    Attributes:
        correlation: NaN where it is not defined: for too few RNNs, or equal distances.
        low: end of the interval of 95%; ``None`` where there is none.
        high: its other end.
        rnns: RNNs with both distances.
        pairs: pairs with both.
    """

    correlation: float
    low: float | None
    high: float | None
    rnns: int
    pairs: int


def rank_relation(one: Array, other: Array, samples: int = _SAMPLES) -> Relation:
    """Return how well the order of pairs by one distance is that by another.

    The interval is of the percentile bootstrap over RNNs, not over pairs: pairs that share an RNN
    are not independent. A pair of an RNN drawn twice with itself is left out.

    Args:
        one: distances ``(B, B)``, NaN where there is none.
        other: distances ``(B, B)``.
        samples: of the bootstrap.

    >>> points = np.arange(12.0) ** 2
    >>> apart = np.abs(points[:, None] - points)
    >>> found = rank_relation(apart, np.sqrt(apart), samples=50)
    >>> round(found.correlation, 6), round(found.low, 6), found.pairs
    (1.0, 1.0, 66)
    """
    known = np.isfinite(one) & np.isfinite(other)
    np.fill_diagonal(known, False)
    rnns, pairs = int(known.any(1).sum()), int(known.sum()) // 2
    rows, columns = np.nonzero(np.triu(known))
    if rnns < FEWEST:
        return Relation(float("nan"), None, None, rnns, pairs)
    found = _correlation(one[rows, columns], other[rows, columns])
    if rnns < FEWEST_FOR_INTERVAL or np.isnan(found):
        return Relation(found, None, None, rnns, pairs)
    random, drawn = np.random.default_rng(_SEED), []
    # Of N drawn RNNs, of which one may be there twice, a pair counts as often as it is drawn.
    own = np.flatnonzero(known.any(1))
    for _ in range(samples):
        times = np.bincount(random.choice(own, len(own)), minlength=len(one))
        weights = times[rows] * times[columns]
        pick = np.repeat(np.arange(len(rows)), weights)
        drawn.append(_correlation(one[rows[pick], columns[pick]], other[rows[pick], columns[pick]]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Relation(found, float(low), float(high), rnns, pairs)


def _correlation(one: Array, other: Array) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other).statistic)


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
