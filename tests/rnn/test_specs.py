"""Input layers, first states and readouts of several layers, for every cell."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import small_encoder
from tests.rnn.cases import assert_close
from tests.rnn.test_cells import check_permutations, check_symmetries
from tests.rnn.test_linearization import check_differences, random_point, random_weights
from wsrl.encoders import embed, list_encoders
from wsrl.rnn import (
    Backend,
    PreparedPopulation,
    RNNInterface,
    RNNSpec,
    RNNWeights,
    get_cell,
    list_cells,
    population_cross_entropy,
    read_interface,
    run_population,
    sequence_cross_entropy,
    with_initial_values,
)

MORE: dict[str, dict[str, Any]] = {
    "embedding": {"input_width": 6},
    "first state": {"initial_state": True},
    "two readouts": {"readout_widths": (7,)},
    "all": {
        "input_width": 6,
        "input_bias": True,
        "initial_state": True,
        "readout_widths": (7, 2),
        "readout_activation": "tanh",
    },
}
every_cell = pytest.mark.parametrize("cell", list_cells())
every_kind = pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())


def drawn(cell: str, more: dict[str, Any], layers: int = 2) -> tuple[RNNWeights, Tensor]:
    weights = random_weights(RNNSpec(cell, 3, 5, layers, 4, **more))
    return weights, torch.randn(3, 2, 6, 3, dtype=torch.float64)


@every_kind
@pytest.mark.parametrize("cell", [name for name in list_cells() if get_cell(name).torch_form])
def test_equals_modules_of_torch(cell: str, more: dict[str, Any]) -> None:
    weights, inputs = drawn(cell, more)
    leaves = [weights.flat.requires_grad_(), inputs.requires_grad_()]
    theirs = []
    for index in range(3):
        named = {name: value[index] for name, value in weights.tensors().items()}
        module = weights.to_module(index)
        theirs.append(torch.func.functional_call(module, named, (inputs[index],))[0])
    results = []
    for values in (run_population(weights, inputs)[0], torch.stack(theirs)):
        gradients = torch.autograd.grad(values.square().sum(), leaves, retain_graph=True)
        results.append([values, *gradients])
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-12)


@every_kind
@every_cell
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_backends_agree(cell: str, more: dict[str, Any], backend: Backend) -> None:
    weights, inputs = drawn(cell, more)
    targets, shares = torch.randint(4, (3, 2, 6)), torch.rand(3, 2, dtype=torch.float64)
    weights.flat.mul_(0.5)  # rounding grows in a linear RNN with large weights
    single = RNNWeights(weights.flat.float().requires_grad_(), weights.spec)
    double = RNNWeights(weights.flat.clone().requires_grad_(), weights.spec)
    expected = run_population(double, inputs, backend="eager")[0]
    losses = sequence_cross_entropy(expected, targets, shares)
    (truth,) = torch.autograd.grad(losses.sum(), double.flat)
    found = population_cross_entropy(single, inputs.float(), targets, shares.float(), backend)
    (gradient,) = torch.autograd.grad(found.sum(), single.flat)
    for own, wanted in ((found, losses), (gradient, truth)):
        assert_close(own, wanted)
    prepared = PreparedPopulation(single, backend)
    first, state = prepared(inputs[:, :, :2].float())
    rest, _ = prepared(inputs[:, :, 2:].float(), state)
    assert_close(torch.cat([first, rest], 2), expected)


@every_cell
def test_permutations_and_symmetries_take_first_states_along(cell: str) -> None:
    weights, inputs = drawn(cell, MORE["all"])
    check_permutations(weights, inputs)
    check_symmetries(weights, inputs)
    check_differences(weights, *random_point(weights.spec))


@every_kind
def test_every_encoder_reads_them(more: dict[str, Any]) -> None:
    weights, _ = drawn("gru", more)
    for name in list_encoders():
        embedding = embed(small_encoder(name, weights.spec), weights)
        assert embedding.isfinite().all()


def test_layers_around_the_core_start_as_those_of_torch() -> None:
    """Uniform in one over the root of what a unit reads, which is not the number of neurons."""
    spec = RNNSpec("gru", 100, 25, 1, 4, **MORE["all"])
    drawn = torch.rand(400, spec.num_parameters, dtype=torch.float64) * 2 - 1
    values = with_initial_values(spec, drawn / 5).tensors()
    largest = {"input.weight": 0.1, "input.bias": 0.1, "rnn.weight_ih_l0": 0.2, "linear.bias": 0.2}
    largest |= {"readout_1.weight": 7**-0.5, "readout_2.weight": 2**-0.5, "initial.h_l0": 0.2}
    for name, bound in largest.items():
        assert 0.98 * bound < values[name].abs().max() <= bound, name


def test_specs_are_plain_values_and_only_what_differs_is_said() -> None:
    plain = RNNSpec("lstm", 3, 5, 2, 4)
    often = {"cell", "input_size", "hidden_size", "num_layers", "output_size", "bias"}
    assert plain.to_dict().keys() == often
    whole = RNNSpec("lstm", 3, 5, 2, 4, **MORE["all"], output_activation="sigmoid")
    for spec in (plain, whole):
        values = json.loads(json.dumps(spec.to_dict()))
        assert read_interface(values) == spec
        assert read_interface(spec.interface.to_dict()) == RNNInterface(3, 4)
    assert whole.core == RNNSpec("lstm", 6, 5, 2, 7)
    places = [[(t.name, t.shape, t.offset) for t in spec.tensors] for spec in (whole.core, whole)]
    assert places[0] == places[1][: len(places[0])]
    assert plain.core == plain
    outputs = torch.randn(2, 4)
    assert torch.equal(whole.final(outputs), outputs.sigmoid())
    assert torch.equal(plain.final(outputs), outputs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_bias": True}, "input_bias needs an input layer: give its input_width"),
        ({"input_width": -1}, "input_width must be a whole number of at least 1"),
        ({"readout_widths": (3, 4, 5)}, "readout_widths are at most 2 sizes"),
        ({"readout_widths": (0,)}, "a readout's width must be a whole number"),
        ({"readout_activation": "swish"}, "readout_activation is one of none, relu"),
        ({"readout_activation": "tanh"}, "needs several readout layers: give readout_widths"),
        ({"output_activation": 3}, "output_activation is one of none, relu"),
        ({"initial_state": 1}, "initial_state must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNNSpec("lstm", 3, 5, 2, 4, **given)


def test_only_an_rnn_with_one_linear_readout_unpacks_into_two_modules() -> None:
    weights, _ = drawn("gru", {})
    rnn, linear = weights.to_module()
    assert isinstance(rnn, torch.nn.GRU)
    assert isinstance(linear, torch.nn.Linear)
    more, _ = drawn("gru", MORE["first state"])
    with pytest.raises(ValueError, match="own first state\\) is more than an RNN and a linear"):
        list(more.to_module())
