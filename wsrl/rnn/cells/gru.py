"""The gated recurrent unit of ``torch.nn``, which resets after the product."""

from typing import final

import torch
from torch import nn

from wsrl.rnn.cells.base import Driven, LayerState, Tensors, TorchForm
from wsrl.rnn.cells.matrix import MatrixCell, random_signs, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class GRU(MatrixCell):
    """A GRU with gates r, z, n: ``n = tanh(U x + b + r (W h + b'))``, ``h' = n + z (h - n)``.

    The reset gate acts on the recurrent part with its bias, so that bias stays apart.

    Source: Cho et al. 2014. As ``torch.nn.GRU``.
    """

    name = "gru"
    gates = 3
    summed = 2
    candidate = 2
    gain = 8.0
    torch_form = TorchForm(nn.GRU)
    symmetries = (remixed("sign flips", random_signs, gate=2), split_biases(2, 3))

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return ``h'``."""
        (h,) = state
        recurrent = torch.bmm(h, weights["recurrent"])
        if "recurrent_bias" in weights:
            recurrent = recurrent + weights["recurrent_bias"]
        r_in, z_in, n_in = driven[0].chunk(3, -1)
        r_rec, z_rec, n_rec = recurrent.chunk(3, -1)
        reset, update = torch.sigmoid(r_in + r_rec), torch.sigmoid(z_in + z_rec)
        fresh = torch.tanh(n_in + reset * n_rec)
        return (fresh + update * (h - fresh),)
