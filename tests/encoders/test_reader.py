"""Readers on fused cells are the readers in double precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from wsrl.encoders.reader import SequenceReader, StepReader


def read_whole(reader: nn.Module, values: Tensor) -> Tensor:
    outputs: Tensor = reader(values)
    return outputs


def read_by_steps(reader: nn.Module, values: Tensor) -> Tensor:
    """Read a sequence whose steps depend on what was read before."""
    assert isinstance(reader, StepReader)
    state, outputs = reader.start(values[:, 0]), []
    for step in values.unbind(1):
        read, state = reader(step + (outputs[-1].sin() if outputs else 0), state)
        outputs.append(read)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize(
    ("reader_class", "read"), [(SequenceReader, read_whole), (StepReader, read_by_steps)]
)
def test_values_and_all_gradients_are_those_in_double_precision(
    reader_class: type[nn.Module], read: object
) -> None:
    assert callable(read)
    reader = reader_class(9, 2)
    for parameter in reader.parameters():
        nn.init.normal_(parameter, std=0.5)
    values = torch.randn(3, 5, 9)
    results = []
    for own, given in ((copy.deepcopy(reader).double(), values.double()), (reader, values)):
        given = given.clone().requires_grad_()
        outputs = read(own, given)
        # The last step alone: what came before counts through the state and the layers below.
        gradients = torch.autograd.grad(outputs[:, -1].square().sum(), [given, *own.parameters()])
        results.append([outputs, *gradients])
    for wanted, found in zip(*results, strict=True):
        largest = float(wanted.detach().abs().max())
        assert largest > 0
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5 * largest)


def test_step_by_step_reading_equals_reading_at_once() -> None:
    whole, stepwise = SequenceReader(5, 3).double(), StepReader(5, 3).double()
    weights = whole.state_dict()
    stepwise.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
    values = torch.randn(4, 6, 5, dtype=torch.float64)
    state, read = stepwise.start(values[:, 0]), []
    for step in values.unbind(1):
        output, state = stepwise(step, state)
        read.append(output)
    torch.testing.assert_close(torch.stack(read, 1), whole(values))
