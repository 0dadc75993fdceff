"""The linear RNN."""

from typing import final

from torch import Tensor

from wsrl.rnn.cells.matrix import Elman, random_bases, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
class Linear(Elman):
    """``h' = W_ih x + W_hh h + b``; ``torch.nn`` does not have it."""

    name = "linear"
    affine = True
    symmetries = (remixed("changes of basis", random_bases), split_biases(1, 1))

    def activation(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values
