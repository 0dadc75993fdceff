"""A whole sequence, step by step, in single precision on fused cells: all read the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from wsrl.encoders.reader import SequenceReader, StepReader


def by_steps(reader: StepReader) -> Callable[[Tensor], Tensor]:
    def read(values: Tensor) -> Tensor:
        state, outputs = reader.start(values[:, 0]), []
        for step in values.unbind(1):
            output, state = reader(step, state)
            outputs.append(output)
        return torch.stack(outputs, 1)

    return read


def test_readers_agree_in_values_and_gradients() -> None:
    whole, stepwise = SequenceReader(9, 2).double(), StepReader(9, 2).double()
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=0.5)
    weights = whole.state_dict()
    stepwise.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
    values, results = torch.randn(3, 5, 9).double(), []
    for reader in (whole, stepwise, copy.deepcopy(whole).float(), copy.deepcopy(stepwise).float()):
        own = list(reader.parameters())
        given = values.to(own[0].dtype).requires_grad_()
        outputs = (by_steps(reader) if isinstance(reader, StepReader) else reader)(given)
        # The last step alone: what came before counts through the state and the layers below.
        results.append(
            [outputs, *torch.autograd.grad(outputs[:, -1].square().sum(), [given, *own])]
        )
    for wanted, *found in zip(*results, strict=True):
        allowed = 1e-5 * float(wanted.detach().abs().max())
        for value in found:
            torch.testing.assert_close(value.double(), wanted, rtol=0, atol=allowed)
