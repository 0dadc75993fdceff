"""The baseline: one embedding for all RNNs."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Reads
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNInterface, RNNs, RNNSpec


@register_encoder
class ConstantEmbedding(Encoder):
    """One learned embedding for all RNNs: what can be reached without reading any weight."""

    reads: ClassVar[Reads] = "any"
    permutation_invariant: ClassVar[bool] = True

    def __init__(self, spec: RNNSpec | RNNInterface, embedding_dim: int = 16) -> None:
        super().__init__(spec, embedding_dim)
        self.embedding = nn.Parameter(torch.randn(embedding_dim))

    def forward(self, weights: RNNs) -> Tensor:
        """Return the embedding for each of ``B`` RNNs, ``(B, D)``."""
        return self.embedding.expand(len(weights), -1)
