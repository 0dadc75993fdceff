"""A batch of RNNs of several specs does what each spec does alone, in any order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsrl.rnn import (
    MixedRNNs,
    PreparedPopulation,
    RNNInterface,
    RNNs,
    RNNSpec,
    RNNWeights,
    change_groups,
    concatenate,
    list_cells,
    random_permutations,
    run_population,
)

INPUTS, OUTPUTS = 3, 4
SPECS = [
    RNNSpec(cell, INPUTS, hidden, layers, OUTPUTS)
    for cell in list_cells()
    for hidden, layers in ((5, 1), (3, 2))
] + [RNNSpec("gru", INPUTS, 5, 1, OUTPUTS, input_width=4, readout_widths=(6,), initial_state=True)]


def random_rnns(spec: RNNSpec, count: int, seed: int = 0) -> RNNWeights:
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(count, spec.num_parameters, generator=generator, dtype=torch.float64)
    return RNNWeights(0.4 * flat, spec)


def batches() -> list[RNNWeights]:
    return [random_rnns(spec, 1 + index % 3, index) for index, spec in enumerate(SPECS)]


def shuffled(parts: list[RNNWeights]) -> tuple[MixedRNNs, list[Tensor]]:
    """Mix batches in an order at random; return where the RNNs of each are, too."""
    sizes = [len(part) for part in parts]
    places = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(3)).split(sizes)
    mixed = concatenate(parts, places)
    assert isinstance(mixed, MixedRNNs)
    return mixed, list(places)


def random_inputs(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(count, 2, 6, INPUTS, generator=generator, dtype=dtype)


def assert_same_rnns(found: RNNs, expected: list[RNNWeights]) -> None:
    """Assert that RNN ``k`` is ``expected[k]``, of a batch of one."""
    assert len(found) == len(expected)
    for index, wanted in enumerate(expected):
        one = found[index : index + 1]
        assert isinstance(one, RNNWeights)
        assert one.spec == wanted.spec
        assert torch.equal(one.flat, wanted.flat)


def one_by_one(parts: list[RNNWeights], places: list[Tensor]) -> list[RNNWeights]:
    found = {
        int(place): part[index : index + 1]
        for part, own in zip(parts, places, strict=True)
        for index, place in enumerate(own)
    }
    return [found[place] for place in range(len(found))]


@pytest.mark.parametrize("prepared", [False, True])
def test_a_mixed_batch_equals_each_spec_alone(prepared: bool) -> None:
    parts = batches()
    for part in parts:
        part.flat.requires_grad_()
    mixed, places = shuffled(parts)
    inputs = random_inputs(len(mixed)).requires_grad_()
    run = PreparedPopulation(mixed) if prepared else lambda *given: run_population(mixed, *given)
    first, state = run(inputs[:, :, :4])
    rest, _ = run(inputs[:, :, 4:], state)  # the state is handed back as it came
    outputs = torch.cat([first, rest], 2)
    leaves = [inputs, *(part.flat for part in parts)]
    found = torch.autograd.grad(outputs.square().sum(), leaves)
    for index, (part, place) in enumerate(zip(parts, places, strict=True)):
        alone = random_inputs(len(mixed))[place].requires_grad_()
        expected, _ = run_population(part, alone)
        wanted = torch.autograd.grad(expected.square().sum(), [alone, part.flat])
        torch.testing.assert_close(outputs[place], expected)
        torch.testing.assert_close((found[0][place], found[1 + index]), wanted)


def test_kernels_run_the_groups_that_they_can() -> None:
    mixed, _ = shuffled(batches())
    single = mixed.to(torch.float32)
    inputs = random_inputs(len(mixed))
    expected, _ = run_population(mixed, inputs)
    assert not torch.allclose(expected, expected.flip(0))  # it matters who gets which inputs
    for backend in ("auto", "eager", "cpu"):
        outputs, _ = run_population(single, inputs.float(), backend=backend)
        torch.testing.assert_close(outputs.double(), expected, rtol=1e-4, atol=1e-5)


def test_selections_keep_each_rnn_whole() -> None:
    parts = batches()
    mixed, places = shuffled(parts)
    every = one_by_one(parts, places)
    assert_same_rnns(mixed, every)
    picks = torch.tensor([7, 0, 7, len(every) - 1])
    assert_same_rnns(mixed[picks], [every[pick] for pick in picks])
    assert_same_rnns(mixed[2:9:3], every[2:9:3])
    mask = torch.arange(len(every)) % 3 == 1
    assert_same_rnns(mixed[mask], every[1::3])
    own = mixed[places[2]]  # of one spec
    assert isinstance(own, RNNWeights)
    assert torch.equal(own.flat, parts[2].flat)
    with pytest.raises(ValueError, match="are selected by a slice, an index tensor or a mask"):
        next(iter(mixed))  # and not silently none of them


def test_a_mixed_batch_is_where_its_weights_are() -> None:
    parts = [part.to("meta") for part in batches()]
    assert concatenate(parts).device == parts[0].device != torch.device("cpu")


def test_an_empty_selection_is_a_batch() -> None:
    mixed, _ = shuffled(batches())
    empty = mixed[:0]
    assert isinstance(empty, RNNWeights)
    assert (len(empty), empty.interface) == (0, RNNInterface(INPUTS, OUTPUTS))
    outputs, _ = run_population(empty, random_inputs(0))
    assert outputs.shape == (0, 2, 6, OUTPUTS)
    assert len(concatenate([mixed, empty])) == len(mixed)


def test_batches_are_joined_by_spec() -> None:
    parts = batches()
    mixed, places = shuffled(parts)
    every = one_by_one(parts, places)
    joined = concatenate([mixed[3:], parts[0], mixed[:3]])
    assert_same_rnns(joined, every[3:] + one_by_one([parts[0]], [torch.arange(1)]) + every[:3])
    assert isinstance(joined, MixedRNNs)
    assert sorted(map(str, joined.specs)) == sorted(map(str, SPECS))
    same = concatenate([parts[0], parts[0]])
    assert isinstance(same, RNNWeights)
    assert torch.equal(same.flat, torch.cat([parts[0].flat, parts[0].flat]))


def test_moved_and_cast() -> None:
    mixed, _ = shuffled(batches())
    assert mixed.to("cpu", torch.float32).dtype == torch.float32
    there = mixed.to("meta")
    assert all(group.flat.is_meta for group in there.groups)


def test_neurons_of_each_group_are_permuted() -> None:
    mixed, places = shuffled(batches())
    inputs, seen = random_inputs(len(mixed)), []

    def permute(group: RNNWeights, place: Tensor) -> RNNWeights:
        seen.append(place)
        return group.permute(random_permutations(group.spec, len(group)))

    moved = change_groups(mixed, permute)
    assert isinstance(moved, MixedRNNs)
    assert all(map(torch.equal, seen, places))
    for before, after in zip(mixed.groups, moved.groups, strict=True):
        assert len(before) < 3 or not torch.equal(before.flat, after.flat)
    torch.testing.assert_close(run_population(moved, inputs)[0], run_population(mixed, inputs)[0])


def test_bad_batches_are_refused() -> None:
    parts = batches()
    mixed, places = shuffled(parts)
    other = random_rnns(RNNSpec("gru", INPUTS + 1, 5, 1, OUTPUTS), 2)
    with pytest.raises(ValueError, match=r"as many inputs and outputs; given: .*4 inputs"):
        concatenate([mixed, other])
    with pytest.raises(ValueError, match="given: none"):
        concatenate([])
    with pytest.raises(ValueError, match=f"places must hold each of 0..{len(mixed) - 1} once"):
        concatenate(parts, [places[0] + 1, *places[1:]])
    with pytest.raises(ValueError, match="rows must hold each of"):
        MixedRNNs(mixed.groups, mixed.rows * 0)
    with pytest.raises(ValueError, match=rf"inputs must be .* = \({len(mixed)}, S, T, 3"):
        run_population(mixed, random_inputs(len(mixed))[1:])
    with pytest.raises(ValueError, match=r"the state of RNNs of \d+ specs is one for each"):
        run_population(mixed, random_inputs(len(mixed)), torch.zeros(1, len(mixed), 2, 5))
