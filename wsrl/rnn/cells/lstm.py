"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from wsrl.rnn.cells.base import LayerState, Symmetry, Tensors, TorchForm
from wsrl.rnn.cells.matrix import MatrixCell, random_signs, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
@dataclass(frozen=True)
class LSTM(MatrixCell):
    """An LSTM with gates i, f, g, o: ``c' = f c + i g``, ``h' = o tanh(c')``.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000. As ``torch.nn.LSTM``.
    """

    name: ClassVar[str] = "lstm"
    state: ClassVar[tuple[str, ...]] = ("h", "c")
    gates: ClassVar[int] = 4
    summed: ClassVar[int] = 4
    candidate: ClassVar[int] = 2
    input_gate: ClassVar[int | None] = 0
    gain: ClassVar[float] = 8.0
    torch_form: ClassVar[TorchForm | None] = TorchForm(nn.LSTM)
    symmetries: ClassVar[tuple[Symmetry, ...]] = (
        remixed("sign flips", random_signs, gate=2),
        split_biases(4, 4),
    )

    def step(self, weights: Tensors, driven: Tensor, state: LayerState) -> LayerState:
        """Return ``h'`` and ``c'``."""
        h, c = state
        i, f, g, o = torch.baddbmm(driven, h, weights["recurrent"]).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
