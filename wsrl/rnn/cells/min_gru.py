"""The minimal gated recurrent unit, whose gates do not read the state."""

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
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class MinGRU(Cell):
    """A minGRU with gates k, a: ``h' = (1 - z) h + z g(k)``, where ``z = sigmoid(a)``.

    The gates are ``[k, a] = W x + b``, and ``g(k)`` is ``k + 1/2`` from 0 on, ``sigmoid(k)`` below.
    There is no recurrent matrix: neurons of a layer do not hear each other.

    Source: Feng et al. 2024, "Were RNNs all we needed?", appendix B. As minGRU-pytorch, which has
    no biases.
    """

    name = "min_gru"

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return the matrix of both gates, and the bias."""
        matrix = CellTensor("weight_ih", (HIDDEN, BELOW), gates=2)
        return (matrix, CellTensor("bias", (HIDDEN,), gates=2)) if bias else (matrix,)

    def prepare(self, tensors: Tensors) -> Tensors:
        """Turn the matrix."""
        return {**tensors, "input": tensors["weight_ih"].mT}

    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return ``g(k)`` and ``z``, which do not depend on the state."""
        k, a = project(values, weights["input"], weights.get("bias")).chunk(2, -1)
        above = torch.relu(k)
        return above + torch.sigmoid(k - above), torch.sigmoid(a)

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return ``h'``."""
        fresh, update = driven
        return (torch.lerp(state[0], fresh, update),)

    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return ``h``."""
        return state[0]
