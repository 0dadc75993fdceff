"""Long short-term memory."""

from typing import final

import torch
from torch import nn

from wsrl.rnn.cells.base import Driven, LayerState, Tensors, TorchForm
from wsrl.rnn.cells.matrix import MatrixCell, random_signs, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class LSTM(MatrixCell):
    """An LSTM with gates i, f, g, o: ``c' = f c + i g``, ``h' = o tanh(c')``.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000. As ``torch.nn.LSTM``.
    """

    name = "lstm"
    state = ("h", "c")
    gates = 4
    summed = 4
    candidate = 2
    input_gate = 0
    gain = 8.0
    torch_form = TorchForm(nn.LSTM)
    symmetries = (remixed("sign flips", random_signs, gate=2), split_biases(4, 4))

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return ``h'`` and ``c'``."""
        h, c = state
        i, f, g, o = torch.baddbmm(driven[0], h, weights["recurrent"]).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
