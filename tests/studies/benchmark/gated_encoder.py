"""An encoder that waits where a test says, in the processes that run a benchmark's trials."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from tests.waiting import Gate
from wsrl.encoders import Encoder
from wsrl.rnn import RNNSpec, RNNWeights

GATE, AT = Path("gate"), Path("gate-at")
"""In the folder one works in: the gate, and before which forward pass of a process it stands."""


class Gated(Encoder):
    """Waits at a gate, once in every process."""

    passes = 0

    def __init__(self, spec: RNNSpec, embedding_dim: int = 4) -> None:
        super().__init__(spec, embedding_dim)
        self.linear = nn.Linear(spec.num_parameters, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        Gated.passes += 1
        if Gated.passes == int(AT.read_text()):
            Gate(GATE).wait()
        return self.linear(weights.flat)
