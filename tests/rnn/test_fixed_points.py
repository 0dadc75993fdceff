"""Fixed points: those that are known, those of trained RNNs, and searches that find none."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.rnn.test_linearization import check_differences
from wsrl.problems import FormalLanguages
from wsrl.rnn import (
    RNNSpec,
    RNNWeights,
    advance,
    find_fixed_points,
    flatten_state,
    list_cells,
    random_starts,
    run_population,
    settled_states,
    visited_states,
)
from wsrl.rnn.fixed_points import Method
from wsrl.zoos import BuildSettings, build_zoo, open_zoo


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_weights(spec: RNNSpec, batch: int = 3, scale: float = 1.0) -> RNNWeights:
    flat = torch.rand(batch, spec.num_parameters, generator=generator(), dtype=torch.float64)
    return RNNWeights((flat * 2 - 1) * scale * spec.hidden_size**-0.5, spec)


def starts_of(spec: RNNSpec, batch: int = 3, count: int = 4) -> Tensor:
    return random_starts(spec, batch, count, generator()).double()


def scalar(cell: str, recurrent: float, bias: float = 0.0) -> RNNWeights:
    """One neuron; the spec has biases, one of which is given."""
    spec = RNNSpec(cell, 1, 1, 1, 1)
    return RNNWeights(torch.tensor([[1.0, recurrent, bias, 0, 1, 0]], dtype=torch.float64), spec)


def test_of_a_linear_rnn_it_solves_the_linear_equation() -> None:
    spec = RNNSpec("linear", 3, 6, 1, 2)
    weights, inputs = random_weights(spec), torch.randn(3, 3, dtype=torch.float64)
    found = find_fixed_points(weights, starts_of(spec), inputs)
    assert found.converged.all()
    assert found.distinct.sum(1).tolist() == [1, 1, 1]
    named = {name: value.numpy() for name, value in weights.tensors().items()}
    for rnn in range(3):
        driven = named["rnn.weight_ih_l0"][rnn] @ inputs[rnn].numpy()
        driven += named["rnn.bias_ih_l0"][rnn] + named["rnn.bias_hh_l0"][rnn]
        recurrent = named["rnn.weight_hh_l0"][rnn]
        wanted = np.linalg.solve(np.eye(6) - recurrent, driven)
        np.testing.assert_allclose(found.of(rnn)[0].numpy(), wanted, rtol=0, atol=1e-7)
        radius = np.abs(np.linalg.eigvals(recurrent)).max()
        np.testing.assert_allclose(found.spectral_radius[rnn].numpy(), radius, rtol=1e-9)
    elsewhere = find_fixed_points(weights, starts_of(spec))
    assert (elsewhere.states - found.states).abs().max() > 0.1  # the input has its say


def test_a_slope_that_is_very_flat_is_no_minimum() -> None:
    """``h' = 0.9999 h`` leads to zero, however slowly; ``h' = h + b`` leads nowhere."""
    spec = RNNSpec("linear", 1, 2, 1, 1, bias=True)
    weights = RNNWeights(torch.zeros(2, spec.num_parameters, dtype=torch.float64), spec)
    named = weights.tensors()
    named["rnn.weight_hh_l0"][0] = torch.diag(torch.tensor([0.9999, 0.5], dtype=torch.float64))
    named["rnn.weight_hh_l0"][1] = torch.eye(2)
    named["rnn.bias_hh_l0"][1] = 1e-3
    found = find_fixed_points(weights, 5 * torch.randn(2, 8, 2, dtype=torch.float64))
    assert found.converged[0].all()
    assert found.states[0].abs().max() < 1e-4
    assert not found.converged[1].any()


def test_three_points_of_one_neuron_that_holds_a_bit() -> None:
    low, high = 0.5, 1.0  # x = tanh(2 x) has a root between
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.tanh(2 * middle) > middle else (low, middle)
    starts = torch.tensor([[[-0.9], [-0.8], [0.01], [0.0], [0.7]]])
    found = find_fixed_points(scalar("tanh", 2.0), starts)
    assert found.converged.all()
    wanted = torch.tensor([-low, -low, 0, 0, low], dtype=torch.float64)
    torch.testing.assert_close(found.states[0, :, 0], wanted, rtol=0, atol=1e-8)
    assert found.distinct.tolist() == [[True, False, True, False, True]]
    assert found.stable.tolist() == [[True, True, False, False, True]]
    forgetful = find_fixed_points(scalar("tanh", 0.5), starts)
    assert forgetful.of(0).shape == (1, 1)
    assert forgetful.stable.all()


def test_where_there_is_a_line_of_them_each_search_ends_near_its_start() -> None:
    spec = RNNSpec("linear", 1, 3, 1, 1, bias=False)
    weights = RNNWeights(torch.zeros(1, spec.num_parameters, dtype=torch.float64), spec)
    recurrent = torch.diag(torch.tensor([1.0, 0.5, -0.3], dtype=torch.float64))
    weights.tensors()["rnn.weight_hh_l0"].copy_(recurrent)
    starts = starts_of(spec, 1, 5)
    found = find_fixed_points(weights, starts)
    assert found.converged.all()
    assert found.distinct.all()
    wanted = starts * torch.tensor([1.0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found.states, wanted, rtol=0, atol=1e-8)
    assert not found.stable.any()
    merged = find_fixed_points(weights, starts, same_within=10.0)
    assert merged.distinct.tolist() == [[True, False, False, False, False]]


@pytest.mark.parametrize("cell", list_cells())
def test_of_random_rnns_a_step_leaves_them_where_they_are(cell: str) -> None:
    spec = RNNSpec(cell, 3, 6, 2, 2)
    for dtype, allowed in ((torch.float64, 1e-9), (torch.float32, 1e-6)):
        weights = random_weights(spec).to(dtype)
        found = find_fixed_points(weights, starts_of(spec))
        assert found.states.dtype == dtype
        assert found.converged.all()
        moved = advance(weights, found.states) - found.states
        assert moved.norm(dim=2).max() < allowed
        assert (found.residual <= 1e-9).all()


def test_both_methods_find_the_same_point() -> None:
    spec = RNNSpec("lstm", 3, 6, 2, 2)
    weights, inputs = random_weights(spec), torch.randn(3, 3, dtype=torch.float64)
    newton, gradient = (
        find_fixed_points(weights, starts_of(spec), inputs, method) for method in get_args(Method)
    )
    assert gradient.converged.all()
    torch.testing.assert_close(gradient.states, newton.states, rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="unknown method 'guess'; choose newton or gradient"):
        find_fixed_points(weights, starts_of(spec), method="guess")  # type: ignore[arg-type]


def test_what_does_not_converge_is_reported_and_not_raised() -> None:
    weights = RNNWeights.cat([scalar("linear", 1.0, 1.0), scalar("linear", 0.5, 1.0)] * 2)
    weights.flat[2] = float("nan")  # x + 1, then x / 2 + 1; once more, the first of them spoiled
    starts = torch.randn(4, 2, 1)
    found = find_fixed_points(weights, starts)
    assert found.converged.tolist() == [[False] * 2, [True] * 2, [False] * 2, [True] * 2]
    assert found.distinct.sum(1).tolist() == [0, 1, 0, 1]
    assert found.of(0).shape == (0, 1)
    torch.testing.assert_close(found.residual[0], torch.ones(2, dtype=torch.float64))
    assert found.spectral_radius[2].isinf().all()
    assert not found.stable[2].any()
    lstm = RNNSpec("lstm", 3, 6, 1, 2)
    hasty = find_fixed_points(random_weights(lstm), starts_of(lstm), steps=1)
    assert not hasty.converged.any()
    assert hasty.residual.isfinite().all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RNNWeights:
    folder = tmp_path_factory.mktemp("zoo") / "zoo"
    sizes = {"evaluated_strings": 4, "stored_strings": 2}
    problem = FormalLanguages(num_tokens=3, length=12, max_n=4, **sizes)
    settings = BuildSettings(runs=3, snapshots=[0, 300], hidden_size=8, num_layers=2)
    build_zoo(folder, problem, settings, quiet=True)
    zoo = open_zoo(folder)
    weights: Tensor = zoo.read("weights")
    before, after = weights[0::2], weights[1::2]
    assert (after - before).abs().mean() > 0.05  # they have learned something
    return RNNWeights(after.double(), zoo.spec)


def test_stable_ones_attract_and_others_do_not(trained: RNNWeights) -> None:
    spec = trained.spec
    starts = random_starts(spec, 3, 15, generator()).double()
    starts = torch.cat([starts, settled_states(trained, starts)], 1)
    found = find_fixed_points(trained, starts)
    assert found.stable.any(1).all()
    first = found.distinct.int().argmax(1)
    point = found.states[torch.arange(3), first]
    check_differences(trained, point, torch.zeros(3, spec.input_size).double())
    states = found.states + 1e-5 * torch.randn(found.states.shape, generator=generator()).double()
    for _ in range(1000):
        states = advance(trained, states)
    apart = (states - found.states).norm(dim=2)
    clear = (found.spectral_radius - 1).abs() > 0.01
    assert (apart[found.stable & clear] < 1e-6).all()
    assert (apart[found.converged & ~found.stable & clear] > 1e-4).all()


def test_visited_states_are_those_of_a_run() -> None:
    spec = RNNSpec("lstm", 3, 5, 2, 4)
    weights, inputs = random_weights(spec), torch.randn(3, 2, 4, 3, dtype=torch.float64)
    ends = [flatten_state(run_population(weights, inputs[:, :, :t])[1]) for t in range(1, 5)]
    known = torch.cat([torch.zeros_like(ends[0]), *ends], 1)  # (B, 10, n)
    drawn = visited_states(weights, inputs, 10, generator())
    nearest = torch.cdist(drawn, known).argmin(2)
    torch.testing.assert_close(known.gather(1, nearest[:, :, None].expand_as(drawn)), drawn)
    assert all(sorted(row) == [0, 0, *range(2, 10)] for row in nearest.tolist())  # 0 twice
    assert visited_states(weights, inputs, 25, generator()).shape == (3, 25, 20)
    again = visited_states(weights, inputs, 10, generator())
    assert torch.equal(again, drawn)


def test_settling_is_running_under_a_constant_input() -> None:
    spec = RNNSpec("gru", 3, 5, 2, 4)
    weights, inputs = random_weights(spec), torch.randn(3, 3, dtype=torch.float64)
    starts = torch.zeros(3, 1, 10, dtype=torch.float64)
    settled = settled_states(weights, starts, inputs, steps=7)
    _, end = run_population(weights, inputs[:, None, None].expand(-1, -1, 7, -1))
    torch.testing.assert_close(settled, flatten_state(end))
    assert not torch.allclose(settled_states(weights, starts, steps=7), settled)


def test_bad_arguments_are_named() -> None:
    spec = RNNSpec("gru", 3, 5, 1, 2)
    weights, starts = random_weights(spec), starts_of(spec)
    with pytest.raises(ValueError, match=r"starts must be \(B, K, n\) = \(3, K, 5\), not"):
        find_fixed_points(weights, starts[0])
    with torch.inference_mode():  # surroundings without gradients do not matter
        assert find_fixed_points(weights, starts).converged.all()
    with pytest.raises(ValueError, match=r"inputs must be \(B, I\) = \(3, 3\), not \(3, 2\)"):
        find_fixed_points(weights, starts, torch.zeros(3, 2))
