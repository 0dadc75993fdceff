"""Distances of RNNs: laws of metrics, what must not change them, and what must."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wsrl.analysis.rnn_pairs import make_pairs, random_rnns
from wsrl.analysis.similarity import (
    delay_operators,
    no_weight_distance,
    operator_angles,
    output_distances,
    representations,
    settled_spectra,
    spectral_distances,
    weight_distances,
)
from wsrl.analysis.similarity import weights as weights_module
from wsrl.rnn import RNNSpec, RNNWeights, list_cells, run_population, states_along

CELLS = [cell for cell in list_cells() if not no_weight_distance(RNNSpec(cell, 3, 4, 1, 2))]
BEYOND = (
    "leaky(constraint='mask')",
    "leaky(constraint='dale', nonlinearity='relu')",
    "leaky(form='state', nonlinearity='relu')",
)


def inputs_for(weights: RNNWeights, length: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(6, length, 3, generator=generator, dtype=torch.float64)
    return drawn.expand(len(weights), *drawn.shape).contiguous()


def by_outputs(weights: RNNWeights) -> Tensor:
    return output_distances(run_population(weights, inputs_for(weights))[0], "real")


def by_distributions(weights: RNNWeights) -> Tensor:
    return output_distances(run_population(weights, inputs_for(weights))[0], "categorical")


def by_states(name: str) -> Callable[[RNNWeights], Tensor]:
    def measure(weights: RNNWeights) -> Tensor:
        states = states_along(weights, inputs_for(weights)).flatten(1, 2)
        found: Tensor = getattr(representations([*states]), name)
        return found

    return measure


def by_operators(weights: RNNWeights) -> Tensor:
    return operator_angles(delay_operators(states_along(weights, inputs_for(weights)), 2, 4))


def by_spectra(weights: RNNWeights) -> Tensor:
    states = states_along(weights, inputs_for(weights))[:, :2, -1]
    return torch.from_numpy(spectral_distances([*settled_spectra(weights, states)]))


def by_weights(weights: RNNWeights) -> Tensor:
    return weight_distances(weights).distances


MEASURES = {
    "outputs": by_outputs,
    "distributions": by_distributions,
    "cka": by_states("cka"),
    "procrustes": by_states("procrustes"),
    "shape_angle": by_states("shape_angle"),
    "operators": by_operators,
    "spectra": by_spectra,
    "weights": by_weights,
}


@pytest.mark.parametrize("name", MEASURES)
def test_distances_are_those_of_a_metric(name: str) -> None:
    weights = random_rnns(RNNSpec("tanh", 3, 5, 1, 2), 6, torch.Generator().manual_seed(0))
    found = MEASURES[name](weights)
    assert torch.equal(found, found.T)
    assert (found.diagonal() == 0).all()
    assert (found[~torch.eye(6, dtype=torch.bool)] > 1e-3).all()
    if name == "operators":  # an upper bound of the least: the law holds where that is found
        return
    for i, j, k in itertools.permutations(range(6), 3):
        assert found[i, k] <= found[i, j] + found[j, k] + 1e-9


@pytest.mark.parametrize("name", MEASURES)
def test_only_permuting_all_couplings_of_neurons_leaves_distances_at_0(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = random_rnns(RNNSpec("gru", 3, 6, 1, 2), 2, generator)
    pairs = make_pairs(weights, generator)
    same, broken = (
        MEASURES[name](RNNWeights.cat([pair.one, pair.other]))
        for pair in (pairs["neurons reordered"], pairs["one coupling left out"])
    )
    assert same[0, 2] < 1e-6
    assert same[1, 3] < 1e-6
    assert broken[0, 2] > 1e-3
    assert broken[1, 3] > 1e-3


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"weights"}))
def test_flipped_signs_leave_what_rnns_do_and_their_states_shape(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = random_rnns(RNNSpec("lstm", 3, 5, 1, 2), 2, generator)
    (flips,) = (s for s in weights.spec.kind.symmetries if s.name == "sign flips")
    twins = RNNWeights.cat([weights, weights.transform(flips, generator)])
    found = MEASURES[name](twins)
    assert found[0, 2] < 1e-6
    assert found[1, 3] < 1e-6
    assert found[0, 1] > 1e-3


@pytest.mark.parametrize(
    ("cell", "layers"), [*((cell, 1) for cell in [*CELLS, *BEYOND]), ("tanh", 2), ("relu", 2)]
)
def test_weights_that_compute_the_same_by_a_symmetry_are_at_no_distance(
    cell: str, layers: int
) -> None:
    generator = torch.Generator().manual_seed(4)
    spec = RNNSpec(cell, 3, 7, layers, 2, initial_state=layers == 1)
    weights = random_rnns(spec, 1, generator)
    pairs = make_pairs(weights, generator)
    same = {symmetry.name for symmetry in spec.kind.symmetries} | {"neurons reordered"}
    broken = ("one coupling left out", "one weight changed", "entries of one tensor shuffled")
    names = [name for name in pairs if name in {*same, *broken}]
    every = RNNWeights.cat([weights, *(pairs[name].other for name in names)])
    found = dict(zip(names, weight_distances(every).distances[0, 1:].tolist(), strict=True))
    size = float(weights.flat.norm())
    for name, apart in found.items():
        assert (apart < 1e-6 * size) == (name in same), name
        assert name in same or apart > 1e-3 * size


def test_a_cell_with_other_symmetries_has_no_weight_distance() -> None:
    weights = random_rnns(RNNSpec("linear", 3, 4, 1, 2), 2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="linear can change by changes of basis"):
        weight_distances(weights)


@pytest.mark.parametrize("cell", ["tanh", "softplus"])
def test_the_best_order_is_found_where_all_are_tried(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RNNSpec(cell, 3, 4, 1, 2, bias=False)
    weights = random_rnns(spec, 5, torch.Generator().manual_seed(0))
    tried = weight_distances(weights)
    monkeypatch.setattr(weights_module, "_ALL", 0)
    searched = weight_distances(weights)
    assert tried.exact
    assert not searched.exact
    ratio = searched.distances / tried.distances.clamp(min=1e-9)
    assert (ratio[tried.distances > 0] > 1 - 1e-9).all()
    assert ratio.max() < 1.3
    signs = itertools.product((-1.0, 1.0), repeat=4) if cell == "tanh" else [(1.0,) * 4]
    least = min(  # one by one, by changing the RNN itself
        float((weights[:1].flat - _changed(weights[1:2], order, sign).flat).norm())
        for sign in signs
        for order in itertools.permutations(range(4))
    )
    assert float(tried.distances[0, 1]) == pytest.approx(least)


def _changed(weights: RNNWeights, order: tuple[int, ...], signs: tuple[float, ...]) -> RNNWeights:
    """Return an RNN with its neurons in another order, some with the other sign (tanh)."""
    moved, factor = weights.permute([torch.tensor(order)]), torch.tensor(signs).double()
    values = {name: value.clone() for name, value in moved.tensors().items()}
    if (factor == 1).all():
        return moved
    for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0"):
        values[name] *= factor[:, None]
    for name in ("rnn.weight_hh_l0", "linear.weight"):
        values[name] *= factor
    return RNNWeights(torch.cat([value.flatten(1) for value in values.values()], 1), weights.spec)


def test_turning_the_basis_of_states_leaves_dynamics_as_they_are() -> None:
    weights = random_rnns(RNNSpec("gru", 3, 6, 1, 2), 2, torch.Generator().manual_seed(0))
    states = states_along(weights, inputs_for(weights))
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    stretched = turn * torch.linspace(0.5, 2, 6).double()
    fitted = [delay_operators(each, 3, 8) for each in (states, states @ turn, states @ stretched)]
    found = operator_angles(torch.cat(fitted))
    assert found[0, 2] < 1e-5
    assert found[1, 3] < 1e-5
    assert found[0, 4] > 1e-3
    assert found[0, 1] > 1e-3
