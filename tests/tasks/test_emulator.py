from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from wsrl.rnn.kernels import compilation
from wsrl.rnn.lstm import fused_cells_serve
from wsrl.tasks.emulator import ConditionedEmulator

kernels_found = not isinstance(compilation.library("lstm_cell"), Exception)

B, S, T, I, O, D, WIDTH = 3, 2, 5, 4, 6, 7, 8  # noqa: E741


def build(**options: bool) -> ConditionedEmulator:
    return ConditionedEmulator(I, O, D, WIDTH, layers=2, **options).double()


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(B, D).double(), torch.randn(B, S, T, I).double()


every_condition = pytest.mark.parametrize("every_step", [False, True])


@every_condition
def test_emulator_is_an_lstm_with_the_embedding_added_to_its_input(every_step: bool) -> None:
    emulator = build(condition_every_step=every_step)
    embedding, inputs = data()
    outputs, end = emulator(embedding, inputs)
    for rnn in range(B):
        driven = inputs[rnn] @ emulator.input_projection.weight.T + emulator.input_projection.bias
        added = emulator.embedding_projection(embedding[rnn])
        for step in range(T if every_step else 1):
            driven[:, step] += added
        hidden, _ = emulator.lstm(driven)
        torch.testing.assert_close(outputs[rnn], emulator.readout(hidden))
    state, steps = None, []
    for step in inputs.unbind(2):  # and step by step
        output, state = emulator(embedding, step[:, :, None], state)
        steps.append(output)
    torch.testing.assert_close((torch.cat(steps, 2), state), (outputs, end))
    assert end[0].shape == (2, B, S, WIDTH)
    alone, _ = emulator(embedding[1:2], inputs[1:2, 1:])  # each RNN and sequence is on its own
    torch.testing.assert_close(outputs[1:2, 1:], alone)


@every_condition
def test_embedding_is_read_at_the_first_step_only(every_step: bool) -> None:
    emulator = build(condition_every_step=every_step)
    embedding, inputs = data()
    _, state = emulator(embedding, inputs[:, :, :1])
    later, _ = emulator(embedding, inputs[:, :, 1:], state)
    other, _ = emulator(embedding + 1, inputs[:, :, 1:], state)
    assert torch.equal(later, other) is not every_step
    # At the first step it counts either way.
    assert not torch.allclose(emulator(embedding + 1, inputs)[0], emulator(embedding, inputs)[0])


def test_forget_gates_start_open_unless_told_otherwise() -> None:
    gates = slice(WIDTH, 2 * WIDTH)
    for name, bias in build().lstm.named_parameters():
        assert not name.startswith("bias") or (bias[gates] == 1).all()
    plain = build(open_forget_gates=False)
    assert not (plain.lstm.bias_hh_l0[gates] == 1).any()


@every_condition
def test_fused_cells_compute_the_same_with_all_gradients(every_step: bool) -> None:
    truth = build(condition_every_step=every_step)
    ours = copy.deepcopy(truth).float()
    embedding, inputs = data()
    results = []
    for emulator, convert in ((truth, Tensor.double), (ours, Tensor.float)):
        known = convert(embedding).requires_grad_()
        fused = fused_cells_serve(known, emulator.readout.weight)
        assert fused is (emulator is ours and kernels_found)
        first, state = emulator(known, convert(inputs[:, :, :2]))
        rest, end = emulator(known, convert(inputs[:, :, 2:]), state)
        outputs = torch.cat([first, rest], 2)
        total = outputs.square().sum() + sum(part.sum() for part in end)
        gradients = torch.autograd.grad(total, [known, *emulator.parameters()])
        results.append([outputs, *end, *gradients])
    for wanted, found in zip(*results, strict=True):
        allowed = 1e-5 * float(wanted.detach().abs().max())
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=allowed)
