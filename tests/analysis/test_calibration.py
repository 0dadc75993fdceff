"""Intervals and shares that are calibrated on what was held out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from wsrl.analysis.calibration import Placement, conformal_radius, share_right


def coverage_of(shift: float, held_out: int, coverage: float, trials: int = 2000) -> float:
    """How often a radius from ``held_out`` residuals holds a new one, drawn ``shift`` further."""
    draws = np.random.default_rng(0)
    inside = 0
    for _ in range(trials):
        residuals = np.abs(draws.standard_t(3, held_out))
        inside += abs(draws.standard_t(3) + shift) <= conformal_radius(residuals, coverage)
    return inside / trials


@pytest.mark.parametrize(("held_out", "coverage"), [(19, 0.9), (30, 0.8), (99, 0.95)])
def test_intervals_hold_the_truth_as_often_as_they_say(held_out: int, coverage: float) -> None:
    rank = math.ceil((held_out + 1) * coverage - 1e-9)
    exact = rank / (held_out + 1)  # by symmetry, whatever the distribution
    error = 4 * math.sqrt(exact * (1 - exact) / 2000)
    assert exact >= coverage
    assert abs(coverage_of(0.0, held_out, coverage) - exact) < error
    assert coverage_of(4.0, held_out, coverage) < coverage - 0.2  # data unlike those held out


def test_too_few_promise_nothing() -> None:
    assert conformal_radius([0.1] * 8, 0.9) == math.inf  # 9 * 0.9 > 8
    assert conformal_radius([0.1] * 9, 0.9) == 0.1
    assert conformal_radius([], 0.5) == math.inf
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, not 0"):
        conformal_radius([0.1, 0.2], 0)


def test_shares_are_those_of_decisions_of_like_confidence() -> None:
    draws = np.random.default_rng(1)
    confidence = draws.random(20_000)
    right = draws.random(20_000) < confidence**2  # overconfident
    for asked in (0.2, 0.5, 0.9):
        share = share_right(confidence, right, asked, nearby=2000)
        assert abs(share - asked**2) < 0.05
        assert abs(share - right.mean()) > 0.05  # confidence makes a difference
    assert share_right([0.5, 0.6], [1, 0], 0.9) == 0.5
    assert math.isnan(share_right([], [], 0.9))


def test_a_standing_is_a_percentile() -> None:
    others = np.random.default_rng(2).normal(size=500)
    found = Placement.among(0.3, others)
    assert found.percentile == pytest.approx(stats.percentileofscore(others, 0.3, "weak"))
    assert found.typical == np.median(others)
    assert not found.extreme
    assert Placement.among(4.0, others).extreme
    assert Placement.among(math.nan, others).extreme
    assert Placement.among(math.nan, others).percentile == 100
    few = Placement.among(2.5, range(19))
    assert few.bound == math.inf
    assert not Placement.among(100.0, range(19)).extreme
    assert Placement.among(19.5, range(20)).extreme
    assert not Placement.among(18.5, range(20)).extreme
