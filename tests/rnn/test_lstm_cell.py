"""The element-wise part of a wide LSTM layer equals PyTorch's, with all its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsrl.rnn.kernels import compilation, cpu

found = compilation.library("lstm_cell")
pytestmark = pytest.mark.skipif(isinstance(found, Exception), reason=str(found))

SIZES = [(1, 1), (2, 7), (3, 16), (5, 33), (64, 256), (300, 250)]  # the last for several threads


def truth(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, 1)
    memory = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def assert_close(ours: Tensor, wanted: Tensor) -> None:
    # Where gates saturate, 1 - activation is a rounding error, in PyTorch's float32 as well.
    allowed = 1e-5 * float(wanted.detach().abs().max()) + 1e-7
    torch.testing.assert_close(ours.double(), wanted.detach(), rtol=0, atol=allowed)


@pytest.mark.parametrize("rows_and_size", SIZES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("given", ["both", "h", "c"])
def test_equals_torch_in_double_precision(
    rows_and_size: tuple[int, int], scale: float, given: str
) -> None:
    rows, size = rows_and_size
    generator = torch.Generator().manual_seed(rows)
    gates = torch.randn(rows, 4 * size, generator=generator) * scale
    c, d_h, d_c = (torch.randn(rows, size, generator=generator) for _ in range(3))
    leaves = [part.double().requires_grad_() for part in (gates, c)]
    h, memory = truth(*leaves)
    directions = {"h": [(h, d_h)], "c": [(memory, d_c)], "both": [(h, d_h), (memory, d_c)]}[given]
    total = sum((value * direction.double()).sum() for value, direction in directions)
    wanted = torch.autograd.grad(total, leaves)

    # Any split of the pre-activations will do; the rows of one part are not next to each other.
    driven = torch.cat([0.25 * gates, gates], 1)[:, : 4 * size]
    activations = 0.75 * gates
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        ours = cpu.lstm_cell(driven, activations, c)
        parts = (d_h if given != "c" else None, d_c if given != "h" else None)
        gradients = cpu.lstm_cell_backward(activations, c, ours[2], *parts)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(ours, (h, memory, memory.tanh()), strict=True):
        assert_close(one, other)
    assert_close(activations[:, 2 * size : 3 * size], leaves[0].chunk(4, 1)[2].tanh())
    for one, other in zip(gradients, wanted, strict=True):
        assert_close(one, other)


def test_what_is_not_finite_stays_in_its_place() -> None:
    gates, c = torch.randn(3, 4 * 20), torch.randn(3, 20)
    clean = cpu.lstm_cell(gates, torch.zeros_like(gates), c)
    gates[1, 5] = float("nan")  # the input gate of one neuron
    spoiled = cpu.lstm_cell(gates, torch.zeros_like(gates), c)
    for before, after in zip(clean, spoiled, strict=True):
        assert after[1, 5].isnan()
        after[1, 5] = before[1, 5]
        assert torch.equal(before, after)
