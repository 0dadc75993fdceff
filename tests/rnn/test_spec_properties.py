"""Any spec: its offsets tile the flat vector, and weights survive every way of writing them."""

from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import SPECS
from wsrl.rnn import RNNSpec, RNNWeights, random_permutations, read_state_dict


def numbered(spec: RNNSpec, count: int = 2) -> RNNWeights:
    """Weights of which no two are equal."""
    return RNNWeights(torch.randperm(count * spec.num_parameters).double().view(count, -1), spec)


@given(SPECS)
def test_offsets_tile_the_vector(spec: RNNSpec) -> None:
    ends = [tensor.offset + tensor.numel for tensor in spec.tensors]
    assert [tensor.offset for tensor in spec.tensors] == [0, *ends[:-1]]
    assert ends[-1] == spec.num_parameters
    weights = numbered(spec)
    parts = [value.flatten(1) for value in weights.tensors().values()]
    assert torch.equal(torch.cat(parts, 1), weights.flat)


@given(SPECS)
def test_modules_and_state_dicts_round_trip(spec: RNNSpec) -> None:
    assume(spec.kind.torch_form)
    weights = numbered(spec)
    module = weights.to_module(1)
    assert [name for name, _ in module.named_parameters()] == [t.name for t in spec.tensors]
    for found in (
        RNNWeights.from_module(module),
        read_state_dict(module.state_dict(), spec.cell),
    ):
        assert found.spec == spec
        assert torch.equal(found.flat, weights.flat[1:])


@given(SPECS)
def test_a_state_dict_without_module_round_trips(spec: RNNSpec) -> None:
    weights = numbered(spec, 1)
    state = {name: value[0] for name, value in weights.tensors().items()}
    found = read_state_dict(dict(reversed(state.items())), spec.cell)
    assert found.spec == spec
    assert torch.equal(found.flat, weights.flat)


@given(SPECS, st.integers(0, 2**32))
def test_permutations_are_undone_by_their_inverses(spec: RNNSpec, seed: int) -> None:
    weights = numbered(spec)
    permutations = random_permutations(spec, 2, torch.Generator().manual_seed(seed))
    permuted = weights.permute(permutations)
    inverse = [permutation.argsort(-1) for permutation in permutations]
    assert torch.equal(permuted.permute(inverse).flat, weights.flat)
    assert torch.equal(permuted.flat.sort(1).values, weights.flat.sort(1).values)


@given(SPECS)
def test_a_spec_is_its_plain_values(spec: RNNSpec) -> None:
    assert RNNSpec(**spec.to_dict()) == spec
