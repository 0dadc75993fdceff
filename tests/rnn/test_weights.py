"""The flat vector: its order, permutations, and every way of writing it, for any spec."""

import pytest
import torch
from hypothesis import assume, given

from tests.strategies import SPECS
from wsrl.rnn import RNNSpec, RNNWeights, list_cells, read_state_dict


def numbered(spec: RNNSpec, count: int = 2) -> RNNWeights:
    """Weights of which no two are equal."""
    return RNNWeights(torch.randperm(count * spec.num_parameters).double().view(count, -1), spec)


def test_a_linear_rnn_is_no_torch_module() -> None:
    with pytest.raises(ValueError, match=r"torch\.nn has no linear RNN; run one with"):
        numbered(RNNSpec("linear", 3, 5, 2, 4)).to_module()


def test_permutation_reads_as_an_index() -> None:
    weights = numbered(RNNSpec("lstm", 3, 5, 2, 4))
    first, second = torch.randperm(5), torch.randperm(5)
    permuted = weights.permute([first, second])
    hidden, moved = (
        batch.tensors()["rnn.weight_hh_l0"].unflatten(1, (4, 5)) for batch in (weights, permuted)
    )
    assert torch.equal(moved, hidden[:, :, first][..., first])
    readout = weights.tensors()["linear.weight"]
    assert torch.equal(permuted.tensors()["linear.weight"], readout[..., second])


@pytest.mark.parametrize(
    "wrong", [torch.arange(4), torch.tensor([0, 0, 1, 2, 3]), torch.arange(5.0)], ids=str
)
def test_no_permutation_is_an_error(wrong: torch.Tensor) -> None:
    weights = numbered(RNNSpec("lstm", 3, 5, 2, 4))
    with pytest.raises(ValueError, match=r"permutation of layer 1 must hold each of 0\.\.4 once"):
        weights.permute([torch.arange(5), wrong])
    with pytest.raises(ValueError, match="2 expected, 1 given"):
        weights.permute([torch.arange(5)])


def test_specs_that_make_no_sense_are_refused() -> None:
    known = ", ".join(list_cells())
    with pytest.raises(ValueError, match=f"unknown cell 'rnn'; choose one of {known}"):
        RNNSpec("rnn", 3, 5, 1, 4)
    with pytest.raises(ValueError, match="hidden_size must be a whole number of at least 1"):
        RNNSpec("gru", 3, 0, 1, 4)
    with pytest.raises(ValueError, match="bias must be True or False, not 'no'"):
        RNNSpec("gru", 3, 5, 1, 4, bias="no")
    with pytest.raises(ValueError, match="flat must be"):
        RNNWeights(torch.zeros(2, 7), RNNSpec("gru", 3, 5, 1, 4))


@given(SPECS)
def test_offsets_tile_the_vector(spec: RNNSpec) -> None:
    ends = [tensor.offset + tensor.numel for tensor in spec.tensors]
    assert [tensor.offset for tensor in spec.tensors] == [0, *ends[:-1]]
    assert ends[-1] == spec.num_parameters
    weights = numbered(spec)
    parts = [value.flatten(1) for value in weights.tensors().values()]
    assert torch.equal(torch.cat(parts, 1), weights.flat)


@given(SPECS)
def test_modules_round_trip(spec: RNNSpec) -> None:
    assume(spec.kind.torch_form)
    weights = numbered(spec)
    module = weights.to_module(1)
    assert [name for name, _ in module.named_parameters()] == [t.name for t in spec.tensors]
    found = RNNWeights.from_module(module)
    assert found.spec == spec
    assert torch.equal(RNNWeights.cat([weights[:1], found]).flat, weights.flat)


@given(SPECS)
def test_state_dicts_round_trip(spec: RNNSpec) -> None:
    weights = RNNWeights(numbered(spec, 1).flat / spec.num_parameters, spec)  # as alphas are
    state = {name: value[0] for name, value in weights.tensors().items()}
    found = read_state_dict(dict(reversed(state.items())), spec.cell)
    assert found.spec == spec
    assert torch.equal(found.flat, weights.flat)


@given(SPECS)
def test_a_spec_is_its_plain_values(spec: RNNSpec) -> None:
    assert RNNSpec(**spec.to_dict()) == spec
