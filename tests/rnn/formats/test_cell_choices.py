"""Which cell, and with which options, a state dict's tensors are of: told, asked, or settled."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.rnn.cases import random_weights
from wsrl.rnn import RNNSpec, RNNWeights, get_cell, list_cells, run_population
from wsrl.rnn.cells.rates import FORMS, NONLINEARITIES
from wsrl.rnn.formats import OpenChoiceError, Reading, Reference, content_of, read_content

INPUTS = torch.randn(3, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def drawn(cell: str) -> tuple[RNNWeights, dict[str, Tensor], Reference]:
    """Return an RNN, its tensors as a file has them, and its answers."""
    weights = random_weights(RNNSpec(cell, 3, 8, 1, 2), batch=1)
    outputs = run_population(weights, INPUTS[None])[0][0]
    tensors = {name: value[0].clone() for name, value in weights.tensors().items()}
    return weights, tensors, Reference(INPUTS, outputs)


def read(tensors: dict[str, Tensor], **known: Any) -> Reading:
    return read_content(content_of(tensors, "memory"), **known)


LEAKY = [
    f"leaky(form={form!r}, nonlinearity={f!r}, leak={leak!r}, constraint={constraint!r})"
    for (form, f), leak, constraint in zip(
        product(FORMS, NONLINEARITIES),
        ["fixed", "neuron", "shared"] * 5,
        ["none", "mask", "dale"] * 4 + ["dale", "none", "mask"],
        strict=True,
    )
]
LOW_RANK = [
    "low_rank(rank=3, nonlinearity='relu', form='rate')",
    "low_rank(rank=1, nonlinearity='softplus')",
    "low_rank(bias_in='rates')",
]


@pytest.mark.parametrize("cell", [*list_cells(), *LEAKY, *LOW_RANK])
def test_a_reference_alone_settles_the_cell_and_its_options(cell: str) -> None:
    weights, tensors, reference = drawn(cell)
    found = read(tensors, reference=reference).weights
    outputs = run_population(found.to(dtype=torch.float64), INPUTS[None])[0][0]
    torch.testing.assert_close(outputs, reference.outputs)
    same = {
        name: getattr(weights.spec.kind, name)
        for name in ("form", "nonlinearity", "rank")
        if hasattr(weights.spec.kind, name)
    }
    assert {name: getattr(found.spec.kind, name) for name in same} == same


def test_options_that_no_tensor_tells_are_asked_for_and_can_be_said() -> None:
    weights, tensors, _ = drawn("leaky(form='inside', nonlinearity='relu', constraint='dale')")
    with pytest.raises(OpenChoiceError) as caught:
        read(tensors)
    assert set(caught.value.options["form"]) == {*FORMS}
    assert set(caught.value.options["nonlinearity"]) == {*NONLINEARITIES}
    assert caught.value.options.keys() == {"form", "nonlinearity"}
    said = {"form": "inside", "nonlinearity": "relu"}
    assert read(tensors, said=said).weights.spec == weights.spec
    with pytest.raises(OpenChoiceError, match="tell which RNN it is: nonlinearity relu or retanh"):
        read(tensors, said={"form": "inside"})
    with pytest.raises(ValueError, match="the form is inside or rate or state, not 'outside'"):
        read(tensors, said={"form": "outside"})


def test_a_cell_that_is_named_has_its_defaults_and_a_note_says_so() -> None:
    _, tensors, reference = drawn("leaky(form='inside', constraint='mask')")
    found, notes = read(tensors, cell="leaky")
    assert found.spec.cell == "leaky(constraint='mask')"
    assert {"form rate, as leaky has by default", "nonlinearity tanh, as leaky has by default"} <= {
        *notes
    }
    found, notes = read(tensors, cell="leaky", reference=reference)
    assert found.spec.cell == "leaky(form='inside', constraint='mask')"
    assert not any("by default" in note for note in notes)
    with pytest.raises(ValueError, match="differ from the reference's"):  # said with its options
        read(tensors, cell="leaky(form='rate', constraint='mask')", reference=reference)


@pytest.mark.parametrize("cell", [*list_cells(), *LEAKY, *LOW_RANK])
def test_variants_have_such_tensors_and_this_cell_is_the_first(cell: str) -> None:
    spec = RNNSpec(cell, 3, 8, 1, 2)
    shapes = {
        tensor.name.removeprefix("rnn.").removesuffix("_l0"): tensor.shape
        for tensor in spec.tensors
        if tensor.name.startswith("rnn.")
    }
    found = get_cell(cell).variants(shapes)
    assert found[0] == spec.kind
    assert len({*found}) == len(found)
    for kind in found:
        other = RNNSpec(str(kind), 3, 8, 1, 2)
        assert [tensor.shape for tensor in other.tensors] == [t.shape for t in spec.tensors]
