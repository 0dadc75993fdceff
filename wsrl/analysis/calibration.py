"""How far predictions can be trusted, by how wrong they were on RNNs held out for that.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): where the new RNN and those held out
are exchangeable, an interval holds the truth at least as often as it says. No other assumption is
made, and of an RNN that is unlike those held out it says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EXTREME = 0.99  # a value above those of this share of the others is out of the ordinary
FEWEST = 20  # with fewer others than these, nothing is out of the ordinary: that could not be told


def conformal_radius(residuals: ArrayLike, coverage: float = 0.9) -> float:
    """Return how far from a prediction the truth may be, so that it is within as often.

    It is the ``ceil((n + 1) * coverage)``-th smallest of the absolute errors ``(n,)`` on what was
    held out; infinite where ``n`` is too small to promise that much.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, not {coverage}")
    ordered = np.sort(np.asarray(residuals, np.float64).ravel())
    rank = math.ceil((len(ordered) + 1) * coverage - 1e-9)
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def share_right(
    confidences: ArrayLike, right: ArrayLike, confidence: float, nearby: int = 50
) -> float:
    """Return how often decisions of about one confidence were right; NaN where none was held out.

    Of the ``n`` decisions that were held out, some ``right``, those ``nearby`` in confidence count.
    """
    held = np.asarray(confidences, np.float64).ravel()
    if len(held) == 0:
        return math.nan
    closest = np.argsort(np.abs(held - confidence), kind="stable")[:nearby]
    return float(np.asarray(right, np.float64).ravel()[closest].mean())


@dataclass(frozen=True)
class Placement:
    """A value of an RNN among those of the RNNs held out, of which ``typical`` is the median.

    What is out of the ordinary is above ``bound``, the ``EXTREME`` quantile of the others (of fewer
    than a hundred the largest, of fewer than ``FEWEST`` infinity). ``percentile`` is the share of
    the others that is not above the value, in per cent.
    """

    value: float
    typical: float
    bound: float
    percentile: float

    @classmethod
    def among(cls, value: float, others: ArrayLike) -> Placement:
        """Place a value among others ``(n,)``, at least one."""
        held = np.asarray(others, np.float64).ravel()
        bound = np.quantile(held, EXTREME, method="higher") if len(held) >= FEWEST else math.inf
        share = 100 - 100 * float((held > value).mean())  # what is no number is above none
        return cls(float(value), float(np.median(held)), float(bound), share)

    @property
    def extreme(self) -> bool:
        """Whether the value is beyond the bound; a value that is not finite is."""
        return not self.value <= self.bound
