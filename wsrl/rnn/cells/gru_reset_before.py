"""The gated recurrent unit that resets before the product, as it was first published."""

from typing import final

import torch
from torch import Tensor

from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Cell,
    CellTensor,
    Driven,
    LayerState,
    Tensors,
    project,
)
from wsrl.rnn.cells.matrix import random_signs, remixed
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class GRUResetBefore(Cell):
    """A GRU with gates r, z, n: ``n = tanh(U x + b + W (r h))``, ``h' = n + z (h - n)``.

    The gates r and z are those of ``gru``, which resets after the product: ``r (W h + b')``.

    Source: Cho et al. 2014, equations 5 to 8. As Keras with ``reset_after=False``, ONNX with
    ``linear_before_reset=0``, and LFADS.
    """

    name = "gru_reset_before"
    symmetries = (remixed("sign flips", random_signs, gate=2),)

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return two matrices and the bias."""
        matrices = (
            CellTensor("weight_ih", (HIDDEN, BELOW), gates=3),
            CellTensor("weight_hh", (HIDDEN, HIDDEN), gates=3),
        )
        return (*matrices, CellTensor("bias", (HIDDEN,), gates=3)) if bias else matrices

    def prepare(self, tensors: Tensors) -> Tensors:
        """Turn the matrices; part that of the candidate from that of the gates."""
        recurrent = tensors["weight_hh"]
        size = recurrent.shape[2]
        gates, candidate = recurrent.split([2 * size, size], 1)
        turned = {"gates": gates.mT, "candidate": candidate.mT}
        return {**tensors, **turned, "input": tensors["weight_ih"].mT}

    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return the inputs' part of the sums in all gates."""
        sums = project(values, weights["input"], weights.get("bias"))
        size = sums.shape[-1] // 3
        gates, fresh = sums.split([2 * size, size], -1)
        return gates, fresh

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return ``h'``."""
        (h,), (gates_in, fresh_in) = state, driven
        gates = torch.sigmoid(torch.baddbmm(gates_in, h, weights["gates"]))
        reset, update = gates.chunk(2, -1)
        fresh = torch.tanh(torch.baddbmm(fresh_in, reset * h, weights["candidate"]))
        return (torch.lerp(fresh, h, update),)

    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return ``h``."""
        return state[0]
