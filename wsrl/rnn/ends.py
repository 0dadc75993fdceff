"""What RNNs have before and after their core: an input layer, further layers of the readout."""

import torch
from torch import Tensor

from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.spec import readout_name
from wsrl.rnn.weights import RNNWeights


class Ends:
    """The layers around the core (``RNNSpec.core``) of ``B`` RNNs; none in most."""

    def __init__(self, weights: RNNWeights) -> None:
        spec, self._tensors = weights.spec, {}
        self._activation, self._further = ACTIVATIONS[spec.readout_activation], range(0)
        if not spec.is_core:
            self._tensors = weights.tensors()
            self._further = range(1, 1 + len(spec.readout_widths))

    def before(self, inputs: Tensor) -> Tensor:
        """Return what the first layer reads of ``inputs (B, S, T, I)``: ``(B, S, T, E)``."""
        return self._apply("input.weight", "input.bias", inputs) if self._embeds else inputs

    def after(self, outputs: Tensor) -> Tensor:
        """Turn the core's outputs ``(B, S, T, R)`` into the RNN's, ``(B, S, T, O)``."""
        for layer in self._further:
            names = readout_name("weight", layer), readout_name("bias", layer)
            outputs = self._apply(*names, self._activation(outputs))
        return outputs

    @property
    def _embeds(self) -> bool:
        return "input.weight" in self._tensors

    def _apply(self, weight: str, bias: str, values: Tensor) -> Tensor:
        rows, matrix = values.flatten(1, 2), self._tensors[weight].mT
        shift = self._tensors.get(bias)
        made = rows @ matrix if shift is None else torch.baddbmm(shift[:, None], rows, matrix)
        return made.view(*values.shape[:3], made.shape[2])
