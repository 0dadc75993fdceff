"""A whole sequence, step by step, in single precision on fused cells: all read the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wsrl.encoders.reader import ReaderOptions, SequenceReader, StepReader


def by_steps(reader: StepReader) -> Callable[[Tensor], Tensor]:
    def read(values: Tensor) -> Tensor:
        state, outputs = reader.start(values[:, 0]), []
        for step in values.unbind(1):
            output, state = reader(step, state)
            outputs.append(output)
        return torch.stack(outputs, 1)

    return read


@pytest.mark.parametrize("gru", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_readers_agree_in_values_and_gradients(gru: bool, residual: bool) -> None:
    options = ReaderOptions(9, 2, gru=gru, residual=residual)
    whole, stepwise = SequenceReader(options).double(), StepReader(options).double()
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


@pytest.mark.parametrize("gru", [False, True])
def test_without_residual_connections_a_reader_is_torch_s_own_stack(gru: bool) -> None:
    plain, around = (
        SequenceReader(ReaderOptions(5, 2, gru=gru, residual=r)) for r in (False, True)
    )
    stack = (nn.GRU if gru else nn.LSTM)(5, 5, 2, batch_first=True)
    weights = plain.state_dict()
    names = {name: f"layers.{name[-1]}.{name[:-1]}0" for name in stack.state_dict()}
    stack.load_state_dict({name: weights[own] for name, own in names.items()})
    around.load_state_dict(weights)
    values = torch.randn(3, 4, 5)
    torch.testing.assert_close(plain(values), stack(values)[0])
    assert not torch.allclose(around(values), stack(values)[0])


@pytest.mark.parametrize("gru", [False, True])
def test_open_gates_keep_what_is_in_the_state(gru: bool) -> None:
    """With weights of 0 a share of the state is kept at every step: sigmoid of the biases."""
    kept = []
    for opened in (True, False):
        reader = StepReader(ReaderOptions(4, 1, opened, gru, residual=False))
        biases = [p for name, p in reader.named_parameters() if "bias_ih" in name]
        for name, parameter in reader.named_parameters():
            if "weight" in name:
                nn.init.zeros_(parameter)
        assert bool((biases[0][4:8] == 1).all()) is opened
        assert biases[0][:4].abs().max() < 1
        ones = torch.ones(1, 4)
        after = [
            reader(torch.zeros(1, 4), [(start,) if gru else (ones, start)])[1][0][-1]
            for start in (ones, 2 * ones)
        ]
        kept.append((after[1] - after[0]).mean())
    assert kept[0] > kept[1]


def test_dropout_acts_in_training_alone() -> None:
    reader, values = SequenceReader(ReaderOptions(6, 1, dropout=0.5)), torch.randn(2, 3, 6)
    assert not torch.equal(reader(values), reader(values))
    reader.eval()
    assert torch.equal(reader(values), reader(values))
