"""The flat vector: its order, permutations of neurons, and modules that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.spec import TensorSpec


def random_weights(cell: str, bias: bool = True) -> RNNWeights:
    spec = RNNSpec(cell, 3, 5, 2, 4, bias)
    return RNNWeights(torch.randn(3, spec.num_parameters, dtype=torch.float64), spec)


def test_a_linear_rnn_is_no_torch_module() -> None:
    with pytest.raises(ValueError, match=r"torch\.nn has no linear RNN; run one with"):
        random_weights("linear").to_module()


def test_the_published_spec_has_its_published_size() -> None:
    assert RNNSpec("lstm", 6, 32, 2, 6).num_parameters == 13766


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
