"""The Elman RNN with softplus."""

from typing import final

from torch import Tensor

from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.cells.matrix import Elman, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class Softplus(Elman):
    """``h' = log(1 + exp(W_ih x + W_hh h + b))``; ``torch.nn`` does not have it."""

    name = "softplus"
    gain = None
    symmetries = (split_biases(1, 1),)

    def activation(self, values: Tensor) -> Tensor:
        """Return the softplus of each value."""
        return ACTIVATIONS["softplus"](values)
