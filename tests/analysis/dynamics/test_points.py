"""Fixed and slow points of RNNs where they are known, and those of the published method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.analysis.dynamics.systems import chaotic, drawn_states, rnn
from wsrl.analysis.dynamics import DynamicsSettings, Portrait, find_portraits
from wsrl.rnn import RNNSpec, RNNWeights, advance, list_cells, random_starts, visited_states


def of(weights: RNNWeights, visited: Tensor, **settings: float) -> Portrait:
    (found,) = find_portraits(weights, visited, settings=DynamicsSettings(**settings))
    return found


@pytest.mark.parametrize("bits", [2, 3])
def test_a_flip_flop_has_a_stable_point_for_each_of_its_states(bits: int) -> None:
    found = of(rnn(2 * np.eye(bits)), drawn_states(bits, 120 * (bits - 1)))
    low, high = 0.5, 1.0  # x = tanh(2 x) has a root between
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.tanh(2 * middle) > middle else (low, middle)
    assert found.kinds.count("stable") == 2**bits
    assert len(found.kinds) == 3**bits  # each neuron is at one of the two, or between
    between = (found.states.abs() < 1e-6).sum(1)
    assert torch.equal(found.unstable_directions, between)
    expected = torch.where(found.states.abs() < 1e-6, 0.0, low * found.states.sign())
    torch.testing.assert_close(found.states, expected, rtol=0, atol=1e-7)
    held = found.kinds.index("stable")
    constant = -1 / np.log(2 * (1 - low**2))  # of the slope at the point
    torch.testing.assert_close(found.time_constants[held], torch.full((bits,), constant).double())
    assert not found.lines
    assert not found.cycles


def test_what_lies_between_two_states_leads_to_these() -> None:
    found = of(rnn(2 * np.eye(2)), drawn_states(2, 120))
    signs = found.states.round().sign()
    saddles = [p for p, count in enumerate(found.unstable_directions.tolist()) if count == 1]
    assert len(saddles) == 4
    for saddle in saddles:
        ends = {(c.kind, c.which) for c in found.connections if c.point == saddle}
        known = signs[saddle] != 0
        agree = (signs[:, known] == signs[saddle, known]).all(1) & (signs != 0).all(1)
        assert ends == {("point", p) for p in agree.nonzero()[:, 0].tolist()}
        assert len(ends) == 2
    shares = [found.share("point", p) for p in range(9) if found.kinds[p] == "stable"]
    assert sum(shares) == 1.0
    assert min(shares) > 0.1


def test_a_constant_input_takes_states_away() -> None:
    weights = rnn(2 * np.eye(2))
    (found,) = find_portraits(weights, drawn_states(2, 40), torch.ones(1, 1))
    assert found.kinds == ["stable"]
    assert (found.states > 0.9).all()
    forgetful = of(rnn(0.5 * np.eye(2)), drawn_states(2, 40))
    assert forgetful.kinds == ["stable"]
    assert not forgetful.connections


def test_a_slow_point_is_where_two_points_have_just_met() -> None:
    # h' = tanh(2 h + b) has a stable and an unstable point on the left until b = 0.5328.
    def under(bias: float) -> Portrait:
        visited = torch.linspace(-1, 1, 41, dtype=torch.float64)[None, :, None]
        settings = DynamicsSettings(hold=100)
        inputs = torch.full((1, 1), bias)
        (found,) = find_portraits(rnn([[2.0]]), visited, inputs, settings)
        return found

    before, just_after, long_after = under(0.53), under(0.534), under(0.7)
    assert sorted(before.kinds) == ["stable", "stable", "unstable"]
    assert sorted(just_after.kinds) == ["slow", "stable"]
    slow = just_after.kinds.index("slow")
    assert just_after.states[slow].item() == pytest.approx(-(0.5**0.5), abs=2e-3)
    passed = 0.5 * (0.534 - 0.53284)  # what the input adds, times the slope of tanh there
    assert just_after.residual[slow].item() == pytest.approx(passed, rel=0.02)
    assert long_after.kinds == ["stable"]


def test_of_chaos_nothing_stable_is_invented() -> None:
    found = of(rnn(chaotic()), drawn_states(64, 3))
    assert "stable" not in found.kinds
    assert found.kinds.count("unstable") >= 1  # zero
    assert not found.lines
    assert not found.cycles
    assert set(found.ends) == {None}


@pytest.mark.parametrize("cell", list_cells())
def test_of_any_cell_points_stay_where_they_are(cell: str) -> None:
    spec = RNNSpec(cell, 2, 5, 2, 3)
    generator = torch.Generator().manual_seed(1)
    flat = torch.rand(2, spec.num_parameters, generator=generator, dtype=torch.float64) - 0.5
    weights, inputs = RNNWeights(flat, spec), torch.tensor([[0.5, -1.0], [0.0, 1.0]]).double()
    visited = random_starts(spec, 2, 6, generator).double()
    both = find_portraits(weights, visited, inputs)
    for row, found in enumerate(both):
        assert len(found.states) >= 1
        driving = inputs[row].expand(1, len(found.states), -1)
        moved = advance(weights[[row]], found.states[None], driving)[0] - found.states
        assert (moved.norm(dim=1)[found.fixed] < 1e-8).all()
        alone = find_portraits(weights[[row]], visited[[row]], inputs[[row]])[0]
        assert alone.kinds == found.kinds
        torch.testing.assert_close(alone.states, found.states, rtol=0, atol=1e-7)
        assert alone.connections == found.connections


def published(cell: nn.RNN, starts: Tensor) -> Tensor:
    """Sussillo and Barak 2013 with Adam, as their successors do: fixed points ``(found, n)``."""
    states = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([states], lr=0.02)
    nothing = torch.zeros(1, len(starts), cell.input_size, dtype=starts.dtype)
    for step in range(700):
        optimizer.zero_grad()
        if step in (300, 550):
            optimizer.param_groups[0]["lr"] /= 10
        speed = (cell(nothing, states[None])[1][0] - states).square().sum(1) / 2
        speed.sum().backward()
        optimizer.step()
    found: list[Tensor] = []
    for state, q in zip(states.detach(), speed.detach(), strict=True):
        if q < 1e-14 and all((state - other).norm() > 1e-3 for other in found):
            found.append(state)
    return torch.stack(found)


def test_the_published_method_finds_the_same_points() -> None:
    torch.manual_seed(2)
    module, readout = nn.RNN(2, 8).double(), nn.Linear(8, 1).double()
    module.weight_hh_l0.data.add_(1.5 * torch.eye(8))
    weights = RNNWeights.from_module(module, readout)
    visited = visited_states(weights, 3 * torch.randn(1, 4, 20, 2).double(), 30)
    ours, theirs = of(weights, visited), published(module, visited[0])
    assert len(theirs) >= 3
    apart = torch.cdist(theirs, ours.states[ours.fixed])
    assert (apart.amin(1) < 1e-4).all()  # each of theirs is one of ours
    assert len(set(apart.argmin(1).tolist())) == len(theirs)
    assert len(theirs) <= int(ours.fixed.sum())
