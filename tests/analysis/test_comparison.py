"""Statistics over seeds, by their laws."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wsrl.analysis.comparison import (
    Estimate,
    estimate,
    paired_difference,
    ranks,
    sign_flip_test,
)

FINITE = st.floats(-1e3, 1e3, allow_nan=False)
SEEDS = st.dictionaries(st.integers(0, 9), FINITE, min_size=2, max_size=8)


def test_of_three_seeds_the_interval_is_their_range_as_the_docstring_says() -> None:
    found = estimate([0.3, 0.1, 0.5])
    assert (found.low, found.high) == pytest.approx((0.1, 0.5))
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    held = ((draws.min(1) <= 0) & (draws.max(1) >= 0)).mean()
    assert held == pytest.approx(0.75, abs=0.03)


def test_one_seed_has_no_interval_and_none_is_an_error() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_run_that_diverged_is_not_left_out(bad: float) -> None:
    found = estimate([0.1, bad, 0.2])
    assert math.isnan(found.mean)
    assert found[1:4] == (None, None, 3)
    assert math.isnan(sign_flip_test([0.1, bad]))
    assert sign_flip_test([0.0, 0.0]) == 1


@given(SEEDS, SEEDS, FINITE)
def test_a_constant_added_to_both_leaves_paired_differences(
    ours: dict[int, float], theirs: dict[int, float], constant: float
) -> None:
    found = paired_difference(ours, theirs)
    moved = paired_difference(
        {seed: value + constant for seed, value in ours.items()},
        {seed: value + constant for seed, value in theirs.items()},
    )
    if found is None or moved is None:
        assert found is moved is None
        assert not ours.keys() & theirs.keys()
        return
    assert moved.mean == pytest.approx(found.mean, abs=1e-9)
    assert moved.seeds == found.seeds == len(ours.keys() & theirs.keys())


def test_a_constant_added_to_one_moves_the_difference() -> None:
    ours, theirs = {0: 1.0, 1: 5.0, 2: 9.0}, {0: 0.5, 1: 4.5, 2: 8.5}
    found = paired_difference(ours, theirs)
    assert found == Estimate(0.5, 0.5, 0.5, 3, 0.25)  # whatever the seeds did, it did to both
    moved = paired_difference({seed: value + 1 for seed, value in ours.items()}, theirs)
    assert moved == Estimate(1.5, 1.5, 1.5, 3, 0.25)


def test_the_sign_flip_test_counts_all_choices_of_signs() -> None:
    for count in (2, 5, 6, 9):
        values = np.random.default_rng(count).normal(0.5, size=count)
        sums = np.array([np.dot(values, signs) for signs in product((-1, 1), repeat=count)])
        share = (np.abs(sums) >= abs(values.sum()) - 1e-9).mean()
        assert sign_flip_test(values.tolist()) == pytest.approx(share)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=9))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert ranks(values, -1).tolist() == stats.rankdata(values).tolist()
    backwards = stats.rankdata([-value for value in values]).tolist()
    assert ranks(values, 1).tolist() == backwards


@pytest.mark.parametrize("better", [-1, 1])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_wins(better: int, bad: float) -> None:
    assert ranks([0.5, bad, 0.1], better)[1] == 3
    assert ranks([bad, bad, 0.1], better).tolist() == [2.5, 2.5, 1]
