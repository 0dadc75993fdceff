"""The Elman RNN with tanh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from wsrl.rnn.cells.base import Symmetry, TorchForm
from wsrl.rnn.cells.matrix import Elman, random_signs, remixed, split_biases
from wsrl.rnn.cells.registry import register_cell


@final
@register_cell
@dataclass(frozen=True)
class Tanh(Elman):
    """``h' = tanh(W_ih x + W_hh h + b)``, as ``torch.nn.RNN``."""

    name: ClassVar[str] = "tanh"
    gain: ClassVar[float] = 2.0
    torch_form: ClassVar[TorchForm | None] = TorchForm(nn.RNN, {"nonlinearity": "tanh"})
    symmetries: ClassVar[tuple[Symmetry, ...]] = (
        remixed("sign flips", random_signs),
        split_biases(1, 1),
    )

    def activation(self, values: Tensor) -> Tensor:
        """Return the hyperbolic tangent."""
        return torch.tanh(values)
