"""The multi-layer perceptron that several encoders share."""

from __future__ import annotations

from torch import nn


class Mlp(nn.Sequential):
    """Linear layers with ReLU between: ``(..., inputs)`` to ``(..., outputs)``.

    Hidden layers start with He's initialisation, which keeps the scale of what passes: the small
    differences between the weights of RNNs then arrive at the output. ``depth`` counts them.
    """

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for layer in range(depth):
            hidden = nn.Linear(width if layer else inputs, width)
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
            nn.init.zeros_(hidden.bias)
            layers += [hidden, nn.ReLU()]
        super().__init__(*layers, nn.Linear(width, outputs))
