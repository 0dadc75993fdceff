"""One wide LSTM layer for the networks that learn (emulator, readers): fused cells on the CPU.

Subject RNNs are small and many (``population``). This is for one network with a
large batch. Its products are PyTorch's, everything between two products is one pass of the kernels,
and the gradient of the recurrent weights is one product over all steps.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsrl.rnn.backends import kernels_serve
from wsrl.rnn.kernels import cpu
from wsrl.rnn.kernels.functions import differentiate_once


def fused_cells_serve(*tensors: Tensor) -> bool:
    """Say whether ``run_lstm_layer`` can compute with these tensors, here and now."""
    return kernels_serve("auto", *tensors, kind="lstm_cell")


def run_lstm(layer: nn.LSTM, values: Tensor) -> Tensor:
    """Run one layer in one direction, with biases, on ``values (T, R, I)``: ``(T, R, H)``."""
    if fused_cells_serve(values, cast(Tensor, layer.weight_ih_l0)):
        return run_lstm_layer(project(layer, 0, values), cast(Tensor, layer.weight_hh_l0))[0]
    hidden: Tensor = layer(values)[0]
    return hidden


def run_lstm_cell(
    cell: nn.LSTMCell, values: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the state ``(h, c)``, each ``(R, H)``, after one step with ``values (R, I)``."""
    if not fused_cells_serve(values, *state, cell.weight_ih):
        new_state: tuple[Tensor, Tensor] = cell(values, state)
        return new_state
    driven = project(cell, None, values)[None]
    hidden, (_, memory) = run_lstm_layer(driven, cell.weight_hh, state)
    return hidden.squeeze(0), memory


def run_lstm_layer(
    driven: Tensor, recurrent: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one LSTM layer as ``torch.nn.LSTM`` does, where ``fused_cells_serve``.

    Args:
        driven: ``(T, R, 4H)``, the input's products with both biases; gates i, f, g, o.
        recurrent: ``(4H, H)``, ``weight_hh``.
        state: ``(h, c)`` before the first step, each ``(R, H)``; zeros by default.

    Returns:
        The hidden values ``(T, R, H)`` and the state after the last step.
    """
    if state is None:
        zeros = driven.new_zeros(driven.shape[1], recurrent.shape[1])
        state = (zeros, zeros)
    given, (rows, size) = (driven, recurrent, *state), state[0].shape
    wanted = [(len(driven), rows, 4 * size), (4 * size, size), (rows, size), (rows, size)]
    if [part.shape for part in given] != wanted or not fused_cells_serve(*given):
        kinds = ", ".join(f"{tuple(part.shape)} {part.dtype} on {part.device}" for part in given)
        raise ValueError(
            "driven, recurrent, h and c must be (T, R, 4H), (4H, H), (R, H) and (R, H), float32 on "
            f"the CPU outside autocast, not {kinds}"
        )
    hidden, memory = _Layer.apply(driven, recurrent, *state)  # type: ignore[no-untyped-call]
    return hidden, (hidden[-1], memory)


def project(layer: nn.LSTM | nn.LSTMCell, index: int | None, values: Tensor) -> Tensor:
    """Return ``values (..., I)`` times a layer's input weights, plus both biases.

    ``index`` says which layer of an ``nn.LSTM``; it is ``None`` for a cell.
    """
    suffix = "" if index is None else f"_l{index}"
    matrix, b_ih, b_hh = (
        getattr(layer, f"{name}{suffix}") for name in ("weight_ih", "bias_ih", "bias_hh")
    )
    return functional.linear(values, matrix, b_ih + b_hh)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, driven: Tensor, recurrent: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        steps, rows, _ = driven.shape
        by_step = (driven if driven.stride(-1) == 1 else driven.contiguous()).unbind()
        gates = driven.new_empty(driven.shape)
        hidden, memory, squashed = (driven.new_empty(steps, rows, h.shape[1]) for _ in range(3))
        before, turned = (h.contiguous(), c.contiguous()), recurrent.t()
        parts = zip(*(part.unbind() for part in (gates, hidden, memory, squashed)), strict=True)
        for step, (own, *results) in zip(by_step, parts, strict=True):
            torch.mm(before[0], turned, out=own)
            cpu.lstm_cell(step, own, before[1], tuple(results))
            before = (results[0], results[1])
        ctx.save_for_backward(recurrent, h, c, gates, hidden, memory, squashed)
        ctx.set_materialize_grads(False)
        return hidden, memory[-1].clone()

    @staticmethod
    def backward(
        ctx: Any, d_hidden: Tensor | None, d_memory: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        differentiate_once()
        recurrent, h, c, gates, hidden, memory, squashed = ctx.saved_tensors
        h, c = h.contiguous(), c.contiguous()
        d_gates, d_h = torch.empty_like(gates), h.new_zeros(h.shape)
        d_c = torch.zeros_like(c)
        if d_memory is not None:
            d_c.copy_(d_memory)
        before, own, tanh = (c, *memory.unbind()[:-1]), gates.unbind(), squashed.unbind()
        to = d_gates.unbind()
        for t in reversed(range(len(gates))):
            if d_hidden is not None:
                d_h = d_h + d_hidden[t]
            cpu.lstm_cell_backward(own[t], before[t], tanh[t], d_h, d_c, to[t])
            if t or ctx.needs_input_grad[2]:
                d_h = to[t] @ recurrent
        d_recurrent = None
        if ctx.needs_input_grad[1]:
            rest = d_gates[1:].flatten(0, 1).t() @ hidden[:-1].flatten(0, 1)
            d_recurrent = rest.addmm_(d_gates[0].t(), h)
        found = (d_gates, d_recurrent, d_h, d_c)
        return tuple(d if own else None for d, own in zip(found, ctx.needs_input_grad, strict=True))
