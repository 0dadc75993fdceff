"""Comparing methods over seeds: means with intervals, paired differences, ranks.

The percentile bootstrap is what the published tables use; it never leaves the range of what was
measured, so with 3 seeds it is that range, and holds the true mean in about three of four cases
rather than in 19 of 20. (Student's t would hold it where the values are normal, and be some 2.5
times as wide.) Read it as what the seeds did, not as a test.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_EXACT = 16  # differences of which all signs are tried
_SEED = 0


class Estimate(NamedTuple):
    """A mean over seeds, with its interval; ``None`` where there is none: of one seed, or of NaN.

    A run that diverged is not left out: the mean, and the ``p_value`` of the sign-flip test (of
    differences), are NaN where a value is not finite.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    p_value: float | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values, one a seed, with its percentile bootstrap interval of 95%.

    >>> estimate([0.25, 0.5, 0.75])[:4]
    (0.5, 0.25, 0.75, 3)
    """
    if len(values) == 0:
        raise ValueError("no values to take the mean of")
    found = np.sort(np.asarray(values, dtype=np.float64))  # the resamples are always the same
    mean = float(found.mean()) if np.isfinite(found).all() else float("nan")
    if len(found) == 1 or np.isnan(mean):
        return Estimate(mean, None, None, len(found))
    random = np.random.default_rng(_SEED)
    resampled = stats.bootstrap((found,), np.mean, method="percentile", random_state=random)
    low, high = map(float, resampled.confidence_interval)
    return Estimate(mean, low, high, len(found))


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate | None:
    """Return the mean of ``ours - theirs`` over the seeds that both have; ``None`` without any.

    Seeds share their data's order and split, so the difference of two encoders varies less than
    each of them does.
    """
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not differences:
        return None
    return Estimate(*estimate(differences)[:4], sign_flip_test(differences))


def sign_flip_test(differences: Sequence[float]) -> float:
    """Test whether paired differences are as likely to fall on one side of 0 as on the other.

    The two-sided p-value is the share of all choices of signs by which the mean is at least as far
    from 0 as it is, so at least ``2 / 2^n`` of ``n`` differences. It is exact up to 16; of more,
    some choices are drawn. It is NaN where a difference is not finite.
    """
    found = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(found).all():
        return float("nan")
    if len(found) == 1:
        return 1.0
    how = {"permutation_type": "samples", "vectorized": True, "n_resamples": 2**_EXACT}
    random = np.random.default_rng(_SEED)
    return float(stats.permutation_test((found,), np.mean, random_state=random, **how).pvalue)


def ranks(values: Sequence[float], better: int) -> NDArray[Any]:
    """Rank competitors: 1 is the best, ties share the mean of their ranks.

    More is better where ``better`` is 1, less where it is -1; what is not finite comes last.

    >>> ranks([0.2, 0.5, float("nan")], better=1).tolist()
    [2.0, 1.0, 3.0]
    """
    found = np.asarray(values, dtype=np.float64)
    score = np.where(np.isfinite(found), -better * found, np.inf)
    return np.asarray(stats.rankdata(score))
