"""Line attractors, rings and limit cycles, and what only looks like them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.analysis.dynamics.systems import drawn_states, ring, rnn, rotation, with_eigenvalues
from wsrl.analysis.dynamics import DynamicsSettings, Portrait, find_portraits
from wsrl.rnn import RNNWeights, advance

OTHERS = (0.5, 0.4, -0.3, 0.2)


def of(weights: RNNWeights, visited: Tensor, **settings: Any) -> Portrait:
    few = {"settling": 300} | settings
    (found,) = find_portraits(weights, visited, settings=DynamicsSettings(**few))
    return found


def test_an_eigenvalue_of_one_is_a_line() -> None:
    weights = rnn(with_eigenvalues(1.0, *OTHERS), "linear")
    found = of(weights, drawn_states(5, 20))
    (line,) = found.lines
    assert not line.closed
    assert line.length > 2 * found.range
    direction = np.linalg.svd(line.states.numpy() - line.states.numpy().mean(0))[2][0]
    recurrent = weights.tensors()["rnn.weight_hh_l0"][0].numpy()
    np.testing.assert_allclose(recurrent @ direction, direction, atol=1e-9)
    assert (found.line == 0).all()
    assert found.share("line", 0) == 1.0


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("linear", (0.995, *OTHERS)),  # slow, but it ends
        ("tanh", (0.995, *OTHERS)),
        ("linear", (1.0, 1.0, *OTHERS)),  # a plane
        ("linear", (-1.0, *OTHERS)),
        ("linear", (0.9, *OTHERS)),
    ],
)
def test_what_is_no_line(cell: str, values: tuple[float, ...]) -> None:
    assert not of(rnn(with_eigenvalues(*values), cell), drawn_states(len(values), 20)).lines


def test_how_long_it_must_hold_decides_on_a_slow_one() -> None:
    weights, visited = rnn(with_eigenvalues(0.995, *OTHERS), "linear"), drawn_states(5, 20)
    assert of(weights, visited, hold=300).lines
    assert not of(weights, visited, hold=500).lines


def test_a_line_may_have_an_end() -> None:
    found = of(rnn(np.diag([1.0, 0.3]), "relu"), drawn_states(2, 20).abs())
    (line,) = found.lines
    assert not line.closed
    assert float(line.states.min()) > -0.05
    assert float(line.states[:, 0].max()) > 2


@pytest.mark.parametrize("cell", ["tanh", "leaky"])
def test_a_ring_is_closed(cell: str) -> None:
    found = of(rnn(ring(), cell), drawn_states(32, 8))
    (line,) = found.lines
    assert line.closed
    off = found.line < 0
    assert found.states[off].norm() < 1e-6  # the middle
    assert found.unstable_directions[off].tolist() == [2]
    assert {(c.kind, c.which) for c in found.connections} == {("line", 0)}
    assert (found.line >= 0).sum() > 4
    moved = advance(rnn(ring(), cell), line.states[None])[0] - line.states
    assert moved.norm(dim=1).max() < 1e-6
    size = line.states.norm(dim=1)
    torch.testing.assert_close(size, size.mean().expand_as(size), rtol=1e-3, atol=0)


def test_a_broken_ring_is_none() -> None:
    broken = ring() + 0.5 * np.random.default_rng(1).normal(size=(32, 32)) / np.sqrt(32)
    found = of(rnn(broken), drawn_states(32, 8))
    assert not found.lines
    assert 1 <= found.kinds.count("stable") <= 6


@pytest.mark.parametrize(
    ("angle", "gain", "lag"), [(2 * np.pi / 20.5, 1.2, 1), (0.4, 1.5, 1), (1.745, 1.3, 4)]
)
def test_a_rotation_that_grows_is_a_limit_cycle(angle: float, gain: float, lag: int) -> None:
    weights = rnn(rotation(angle, gain))
    found = of(weights, drawn_states(2, 12))
    assert found.kinds == ["unstable"]
    (cycle,) = found.cycles
    state, angles = np.array([0.5, 0.1]), []
    matrix = weights.tensors()["rnn.weight_hh_l0"][0].numpy()
    for _ in range(6000):
        state = np.tanh(matrix @ state)
        angles.append(math.atan2(state[1], state[0]))
    turned = (np.unwrap(angles)[-1] - np.unwrap(angles)[1000]) / 2 / np.pi
    assert cycle.period == pytest.approx(4999 / turned, rel=1e-3)
    assert cycle.multipliers[0] == pytest.approx(1, abs=0.05)
    assert cycle.multipliers[1] < 0.5
    assert found.share("cycle", 0) == 1.0
    assert {(c.kind, c.which) for c in found.connections} == {("cycle", 0)}
    if lag == 1:
        gap = (cycle.states[-1] - cycle.states[0]).norm()
        assert gap < 0.5 * cycle.size  # once round
        assert abs(len(cycle.states) - cycle.period) < 2


@pytest.mark.parametrize(
    ("cell", "gain"), [("linear", 1.0), ("linear", 0.9999), ("linear", 0.99), ("tanh", 0.98)]
)
def test_what_only_turns_is_no_limit_cycle(cell: str, gain: float) -> None:
    assert not of(rnn(rotation(2 * np.pi / 20.5, gain), cell), drawn_states(2, 12)).cycles


def test_two_states_in_turns_are_a_cycle() -> None:
    found = of(rnn([[-2.0]]), drawn_states(1, 12))
    (cycle,) = found.cycles
    assert cycle.period == 2
    assert cycle.size == pytest.approx(0.957504, abs=1e-5)  # x = tanh(2 x)
    assert cycle.multipliers[0] == pytest.approx((2 * (1 - 0.957504**2)) ** 2, rel=1e-3)
    assert not of(rnn([[-0.5]]), drawn_states(1, 12)).cycles
