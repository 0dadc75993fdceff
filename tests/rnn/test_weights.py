"""The flat vector: its order, permutations of neurons, and modules that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsrl.rnn import RNNSpec, RNNWeights, list_cells, random_permutations, run_population
from wsrl.rnn.spec import TensorSpec


def random_weights(cell: str, bias: bool = True) -> RNNWeights:
    spec = RNNSpec(cell, 3, 5, 2, 4, bias)
    return RNNWeights(torch.randn(3, spec.num_parameters, dtype=torch.float64), spec)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("cell", "kind"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("tanh", nn.RNN)])
def test_order_is_that_of_torch_nn(cell: str, kind: type[nn.RNNBase], bias: bool) -> None:
    rnn, linear = kind(3, 5, 2, bias=bias), nn.Linear(5, 4, bias=bias)
    weights = RNNWeights.from_module(rnn, linear)
    wanted = [p.reshape(-1) for p in (*rnn.parameters(), *linear.parameters())]
    assert torch.equal(weights.flat[0], torch.cat(wanted))
    assert weights.spec == RNNSpec(cell, 3, 5, 2, 4, bias)


def test_a_linear_rnn_is_no_torch_module() -> None:
    with pytest.raises(ValueError, match=r"torch\.nn has no linear RNN; run one with"):
        random_weights("linear").to_module()


def test_the_published_spec_has_its_published_size() -> None:
    assert RNNSpec("lstm", 6, 32, 2, 6).num_parameters == 13766


@pytest.mark.parametrize("cell", list_cells())
@pytest.mark.parametrize("bias", [True, False])
def test_permuting_neurons_keeps_the_function(cell: str, bias: bool) -> None:
    weights = random_weights(cell, bias)
    inputs = torch.randn(3, 2, 6, 3, dtype=torch.float64)
    outputs, _ = run_population(weights, inputs)
    permuted = weights.permute(random_permutations(weights.spec, 3))
    assert not torch.equal(permuted.flat, weights.flat)
    torch.testing.assert_close(run_population(permuted, inputs)[0], outputs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["rnn.weight_hh_l0", "rnn.weight_ih_l1", "linear.weight"])
def test_leaving_one_coupling_out_changes_the_function(name: str) -> None:
    weights = random_weights("lstm")
    inputs = torch.randn(3, 2, 6, 3, dtype=torch.float64)
    outputs, _ = run_population(weights, inputs)
    permuted = weights.permute(random_permutations(weights.spec, 3))
    permuted.tensors()[name].copy_(weights.tensors()[name])
    assert (run_population(permuted, inputs)[0] - outputs).abs().max() > 1e-3


def test_permutation_reads_as_an_index() -> None:
    weights = random_weights("lstm")
    first, second = torch.randperm(5), torch.randperm(5)
    permuted = weights.permute([first, second])

    def gated(batch: RNNWeights, name: str) -> torch.Tensor:
        tensor: TensorSpec = next(t for t in batch.spec.tensors if t.name == name)
        return batch.gated(tensor)

    hidden = gated(weights, "rnn.weight_hh_l0")
    assert torch.equal(gated(permuted, "rnn.weight_hh_l0"), hidden[:, :, first][..., first])
    readout = weights.tensors()["linear.weight"]
    assert torch.equal(permuted.tensors()["linear.weight"], readout[..., second])


@pytest.mark.parametrize(
    ("permutations", "message"),
    [
        ([torch.arange(5)], "2 expected, 1 given"),
        ([torch.arange(5), torch.arange(4)], r"must be \(5,\)"),
        ([torch.arange(5), torch.tensor([0, 0, 1, 2, 3])], "layer 1: each of 0..4"),
        ([torch.arange(5.0), torch.arange(5)], "layer 0: indices are whole numbers"),
    ],
)
def test_no_permutation_is_an_error(permutations: list[torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_weights("lstm").permute(permutations)


@pytest.mark.parametrize(
    ("rnn", "linear", "message"),
    [
        (nn.LSTM(3, 5, proj_size=2), nn.Linear(2, 4), "projections"),
        (nn.LSTM(3, 5, bidirectional=True), nn.Linear(10, 4), "bidirectional"),
        (nn.GRU(3, 5, bias=False), nn.Linear(5, 4), "all parts or in none"),
        (nn.GRU(3, 5), nn.Linear(6, 4), "the RNN has 5 hidden"),
        (nn.GRU(3, 5), nn.GRU(3, 5), "found 2 and 0"),
    ],
)
def test_modules_that_do_not_fit_are_refused(
    rnn: nn.Module, linear: nn.Module, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RNNWeights.from_module(rnn, linear)


def test_specs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown cell 'rnn'; choose one of gru, linear, lstm"):
        RNNSpec("rnn", 3, 5, 1, 4)
    with pytest.raises(ValueError, match="hidden_size must be a whole number of at least 1, not 0"):
        RNNSpec("gru", 3, 0, 1, 4)
    with pytest.raises(ValueError, match="bias must be True or False, not 'no'"):
        RNNSpec("gru", 3, 5, 1, 4, bias="no")
    with pytest.raises(ValueError, match="flat must be"):
        RNNWeights(torch.zeros(2, 7), RNNSpec("gru", 3, 5, 1, 4))


def test_one_module_may_hold_both() -> None:
    weights = random_weights("tanh")
    again = RNNWeights.from_module(weights.to_module(1))
    assert torch.equal(again.flat[0], weights.flat[1])
    rnn, linear = weights.to_module(1)
    assert torch.equal(RNNWeights.from_module(rnn, linear).flat, again.flat)
    joined = RNNWeights.cat([weights[:1], again])
    assert torch.equal(joined.flat, weights.flat[:2])


def test_a_parametrised_weight_is_read_as_it_acts() -> None:
    rnn, linear = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 4)
    nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    inputs = torch.randn(2, 6, 3)
    outputs, _ = run_population(RNNWeights.from_module(rnn, linear), inputs[None])
    torch.testing.assert_close(outputs[0], linear(rnn(inputs)[0]))
