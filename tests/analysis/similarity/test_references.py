"""Distances against independent ones: plain NumPy, one pair at a time, as the definitions say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize
from scipy.stats import spearmanr

from wsrl.analysis.dynamics import find_portraits
from wsrl.analysis.similarity import (
    cluster_order,
    delay_operators,
    operator_angles,
    output_distances,
    rank_relation,
    representations,
    settled_spectra,
    spectral_distances,
    weight_distances,
)
from wsrl.rnn import RNNSpec, RNNWeights

Array = NDArray[np.float64]


def test_representations_are_compared_as_the_definitions_say() -> None:
    random = np.random.default_rng(0)
    states = [random.normal(size=(50, width)) @ random.normal(size=(width, 6)) for width in (3, 6)]
    states += [random.normal(size=(50, 4)), 2 * states[0] + 5]
    found = representations([torch.from_numpy(each) for each in states])
    for i, j in itertools.combinations(range(4), 2):
        padded = [np.pad(each, ((0, 0), (0, 6 - each.shape[1]))) for each in (states[i], states[j])]
        one, other = (each - each.mean(0) for each in padded)
        turn, _ = orthogonal_procrustes(other, one)
        turned = other @ turn
        sizes = np.linalg.norm(one) * np.linalg.norm(other)
        kernels = one @ one.T, other @ other.T
        cka = (kernels[0] * kernels[1]).sum() / np.prod([*map(np.linalg.norm, kernels)])
        assert float(found.procrustes[i, j]) == pytest.approx(np.linalg.norm(one - turned))
        angle = np.arccos(min(1, (one * turned).sum() / sizes))
        assert float(found.shape_angle[i, j]) == pytest.approx(angle, abs=1e-6)
        assert float(found.cka[i, j]) == pytest.approx(np.arccos(min(1, cka)), abs=1e-6)


_ONE_STEP = (slice(None, -1), slice(1, None))


def test_representations_that_never_change_are_no_distance_from_each_other_alone() -> None:
    still, moving = torch.ones(10, 3), torch.randn(10, 3)
    found = representations([still, 2 * still, moving])
    assert found.cka[0].tolist() == pytest.approx([0, 0, np.pi / 2])
    assert found.shape_angle[0].tolist() == pytest.approx([0, 0, np.pi / 2])


@pytest.mark.parametrize("lengths", [None, [15, 9, 2, 12]])
def test_operators_predict_delay_embedded_states_as_least_squares_do(
    lengths: list[int] | None,
) -> None:
    random = np.random.default_rng(1)
    states = random.normal(size=(2, 4, 15, 3)).cumsum(2)
    for trial, length in enumerate(lengths or ()):
        states[:, trial, length:] = np.nan  # after the end
    given = None if lengths is None else torch.tensor(lengths)
    found = delay_operators(torch.from_numpy(states), 3, 5, given).numpy()
    for own, operator in zip(states, found, strict=True):
        points = [
            np.array([trial[k : k + 3].T.flatten() for k in range(length - 2)])
            for trial, length in zip(own, lengths or [15] * 4, strict=True)
            if length > 2
        ]
        left = np.linalg.svd(np.concatenate(points), full_matrices=False)[0][:, :5]
        parts = np.split(left, np.cumsum([len(each) for each in points])[:-1])
        before, after = (np.concatenate([p[some] for p in parts]) for some in _ONE_STEP)
        fitted = np.linalg.lstsq(before, after, rcond=None)[0].T
        assert np.abs(fitted) == pytest.approx(np.abs(operator), abs=1e-8)  # signs of vectors


def test_operators_are_turned_as_well_as_by_a_search_over_rotations() -> None:
    random = np.random.default_rng(2)
    operators = random.normal(size=(3, 3, 3)) / 2
    found = operator_angles(torch.from_numpy(operators)).numpy()

    def turned(angles: Array, mirror: float) -> Array:
        made = np.diag([mirror, 1.0, 1.0])
        for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
            step = np.eye(3)
            step[[i, i, j, j], [i, j, i, j]] = [
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
                np.cos(angle),
            ]
            made = made @ step
        return made

    for i, j in itertools.combinations(range(3), 2):
        one, other = (operators[k] / np.linalg.norm(operators[k]) for k in (i, j))

        def height(angles: Array, mirror: float, one: Array = one, other: Array = other) -> float:
            made = turned(angles, mirror)
            return -float((one * (made @ other @ made.T)).sum())

        starts = random.uniform(-np.pi, np.pi, size=(6, 3))
        ends = [minimize(height, s, args=(mirror,)) for s in starts for mirror in (-1.0, 1.0)]
        best = np.arccos(-min(end.fun for end in ends))
        assert found[i, j] == pytest.approx(best, abs=1e-4)


def test_outputs_are_compared_at_the_steps_that_count() -> None:
    outputs = torch.randn(3, 4, 5, 2, dtype=torch.float64)
    counts = (torch.rand(4, 5) < 0.5).double()
    counts[0, 0] = 1
    changed = torch.where(counts[None, :, :, None].bool(), outputs, 1e6)
    for kind in ("real", "categorical"):
        assert torch.equal(
            output_distances(outputs, kind, counts), output_distances(changed, kind, counts)
        )
    chosen = counts.bool()
    real = (outputs[0, chosen] - outputs[1, chosen]).square().mean().sqrt()
    assert float(output_distances(outputs, "real", counts)[0, 1]) == pytest.approx(float(real))
    shares = outputs.softmax(-1)[:, chosen]
    total = (shares[0] - shares[1]).abs().sum(-1).mean() / 2
    apart = output_distances(outputs, "categorical", counts)
    assert float(apart[0, 1]) == pytest.approx(float(total))
    with pytest.raises(ValueError, match="no step"):
        output_distances(outputs, "real", torch.zeros(4, 5))
    with pytest.raises(ValueError, match=r"RNNs \[1\] have outputs that are not finite"):
        output_distances(torch.tensor([0.0, torch.nan]).view(2, 1, 1, 1), "real")


def test_eigenvalues_are_matched_as_well_as_by_trying_all() -> None:
    drawn = torch.randn(2, 3, 4, dtype=torch.complex128)
    found = spectral_distances([drawn[0], drawn[1, :, :3]])
    padded = np.pad(drawn[1, :, :3].numpy(), ((0, 0), (0, 1)))
    least = [
        min(np.linalg.norm(ours - theirs[[*order]]) for order in itertools.permutations(range(4)))
        for ours, theirs in zip(drawn[0].numpy(), padded, strict=True)
    ]
    assert found[0, 1] == pytest.approx(np.mean(least))


def test_relations_are_rank_correlations_with_intervals_over_rnns() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(12, 2))
    apart = np.linalg.norm(points[:, None] - points, axis=2).round(1)  # with ties
    noisy = apart + np.abs(random.normal(size=(12, 12)))
    noisy = noisy + noisy.T
    rows, columns = np.triu_indices(12, 1)
    found = rank_relation(apart, noisy)
    wanted = spearmanr(apart[rows, columns], noisy[rows, columns]).statistic
    assert found.correlation == pytest.approx(wanted)
    assert found.low is not None
    assert found.high is not None
    assert found.low < wanted < found.high
    resampled, generator = [], np.random.default_rng(0)
    for _ in range(200):
        drawn = generator.choice(12, 12)
        one, other = (each[np.ix_(drawn, drawn)][np.triu_indices(12, 1)] for each in (apart, noisy))
        different = (drawn[:, None] != drawn)[np.triu_indices(12, 1)]
        resampled.append(spearmanr(one[different], other[different]).statistic)
    low, high = np.quantile(resampled, [0.025, 0.975])
    again = rank_relation(apart, noisy, samples=200)
    assert (again.low, again.high) == (pytest.approx(low), pytest.approx(high))


def test_snapshots_of_a_run_are_resampled_together() -> None:
    random = np.random.default_rng(0)
    runs = np.repeat(np.arange(12), 3)
    points = random.normal(size=(12, 2))[runs] + 0.3 * random.normal(size=(36, 2))
    other = points + random.normal(size=(12, 2))[runs]
    one, two = (np.linalg.norm(p[:, None] - p, axis=2) for p in (points, other))
    resampled, generator = [], np.random.default_rng(0)
    for _ in range(200):
        rows, copies = [], []
        for copy, run in enumerate(generator.choice(12, 12)):
            rows += np.flatnonzero(runs == run).tolist()
            copies += [copy] * 3
        own, copied = runs[rows], np.array(copies)
        kept = (own[:, None] != own) | (copied[:, None] == copied)
        kept = kept[np.triu_indices(36, 1)]
        pairs = [m[np.ix_(rows, rows)][np.triu_indices(36, 1)][kept] for m in (one, two)]
        resampled.append(spearmanr(*pairs).statistic)
    found = rank_relation(one, two, runs, samples=200)
    wanted = np.quantile(resampled, [0.025, 0.975])
    assert (found.low, found.high) == tuple(map(pytest.approx, wanted))
    assert (found.runs, found.rnns, found.pairs) == (12, 36, 36 * 35 // 2)
    apart = rank_relation(one, two, samples=200)
    assert apart.correlation == found.correlation
    assert apart.high - apart.low < 0.8 * (found.high - found.low)  # as if snapshots were runs
    few = rank_relation(one[:27, :27], two[:27, :27], runs[:27])
    assert (few.runs, few.low) == (9, None)


def test_too_few_rnns_have_no_interval_and_fewer_no_correlation() -> None:
    apart = np.abs(np.subtract.outer(np.arange(9.0), np.arange(9.0)))
    found = rank_relation(apart, apart)
    assert (found.correlation, found.low) == (pytest.approx(1), None)
    gone = apart.copy()
    gone[3:], gone[:, 3:] = np.nan, np.nan
    assert np.isnan(rank_relation(apart, gone).correlation)
    assert rank_relation(apart, gone).rnns == 3
    assert np.isnan(rank_relation(apart, np.ones_like(apart)).correlation)


def test_rnns_without_a_distance_come_last_in_the_order() -> None:
    apart = np.array([[0, np.nan, 1.0], [np.nan, 0, np.nan], [1.0, np.nan, 0]])
    order = cluster_order(apart)
    assert sorted(order) == [0, 1, 2]
    assert abs(order.index(0) - order.index(2)) == 1


def test_resamples_without_a_pair_that_has_a_distance_are_left_out() -> None:
    points = np.random.default_rng(0).normal(size=10)
    apart = np.abs(points[:, None] - points)
    partner = np.arange(10) // 2  # distances within five pairs alone, as weights of five sizes have
    some = np.where(partner[:, None] == partner, apart, np.nan)
    found = rank_relation(some, apart**2)
    assert (found.pairs, found.correlation) == (5, pytest.approx(1))
    assert found.low == pytest.approx(1)


def test_numbers_that_are_not_finite_are_refused_by_every_distance() -> None:
    spec = RNNSpec("tanh", 1, 12, 1, 1)
    weights = RNNWeights(torch.randn(3, spec.num_parameters), spec)
    states = torch.randn(3, 2, 12, 4)
    weights.flat[1, 5] = states[1, 0, 3, 2] = float("nan")
    with pytest.raises(ValueError, match="not all numbers are finite in rnn"):
        weight_distances(weights)
    with pytest.raises(ValueError, match="not all numbers are finite in rnn"):
        find_portraits(weights, torch.zeros(3, 2, 12))
    said = r"RNNs \[1\] have states that are not finite: leave them out"
    with pytest.raises(ValueError, match=said):
        representations([*states.flatten(1, 2)])
    with pytest.raises(ValueError, match=said):
        delay_operators(states)


def test_spectra_of_a_cycle_are_not_those_of_the_unstable_point_in_its_middle() -> None:
    spec = RNNSpec("tanh", 1, 2, 1, 1, bias=False)
    turn = torch.tensor([[0.9553, -0.2955], [0.2955, 0.9553]], dtype=torch.float64)
    weights = RNNWeights(torch.zeros(1, spec.num_parameters, dtype=torch.float64), spec)
    weights.tensors()["rnn.weight_hh_l0"][0] = 1.3 * turn
    starts = torch.tensor([[[0.5, 0.1], [0.0, 0.0]]], dtype=torch.float64)
    on_cycle, in_middle = settled_spectra(weights, starts)[0].abs().prod(1).tolist()
    state = starts[0, 0]
    for _ in range(200):
        state = torch.tanh(1.3 * turn @ state)
    slopes = 1 - torch.tanh(1.3 * turn @ state) ** 2
    assert on_cycle == pytest.approx(float(slopes.prod() * torch.linalg.det(1.3 * turn)))
    assert in_middle == pytest.approx(1.69, rel=1e-3)  # where it started, and stays
