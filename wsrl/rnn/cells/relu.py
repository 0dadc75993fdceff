"""The Elman RNN with ReLU."""

from typing import final

import torch
from torch import Tensor, nn

from wsrl.rnn.cells.base import TorchForm
from wsrl.rnn.cells.matrix import Elman, random_scales, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class ReLU(Elman):
    """``h' = max(0, W_ih x + W_hh h + b)``, as ``torch.nn.RNN`` with ``nonlinearity="relu"``."""

    name = "relu"
    torch_form = TorchForm(nn.RNN, {"nonlinearity": "relu"})
    symmetries = (remixed("positive scaling", random_scales), split_biases(1, 1))

    def activation(self, values: Tensor) -> Tensor:
        """Return the values that are positive, and 0 in the place of the others."""
        return torch.relu(values)
