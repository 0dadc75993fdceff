"""The Elman RNN with tanh."""

from typing import final

import torch
from torch import Tensor, nn

from wsrl.rnn.cells.base import TorchForm
from wsrl.rnn.cells.matrix import Elman, random_signs, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class Tanh(Elman):
    """``h' = tanh(W_ih x + W_hh h + b)``, as ``torch.nn.RNN``."""

    name = "tanh"
    gain = 2.0
    torch_form = TorchForm(nn.RNN, {"nonlinearity": "tanh"})
    symmetries = (remixed("sign flips", random_signs), split_biases(1, 1))

    def activation(self, values: Tensor) -> Tensor:
        """Return the hyperbolic tangent."""
        return torch.tanh(values)
