"""Layer-wise statistics: seven numbers of every parameter tensor."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from wsrl.encoders.base import Encoder, check_sizes
from wsrl.encoders.mlp import Mlp
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
NUM_STATISTICS = 2 + len(QUANTILES)


@register_encoder
class LayerwiseStatistics(Encoder):
    """An MLP on the mean, variance and quantiles of every parameter tensor.

    Args:
        spec: the RNNs it reads.
        embedding_dim: size ``D`` of an embedding.
        width: size of the MLP's hidden layers.
        depth: number of hidden layers.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self, spec: RNNSpec, embedding_dim: int = 16, width: int = 768, depth: int = 3
    ) -> None:
        super().__init__(spec, embedding_dim)
        check_sizes(width=width, depth=depth)
        self.mlp = Mlp(NUM_STATISTICS * len(spec.tensors), width, depth, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        parts = [statistics(weights.tensor(tensor).flatten(1)) for tensor in self.spec.tensors]
        embedding: Tensor = self.mlp(torch.cat(parts, 1))
        return embedding


def statistics(values: Tensor) -> Tensor:
    """Return mean, variance (of the population) and the five quantiles of each row.

    Args:
        values: ``(B, n)``.

    Returns:
        ``(B, 7)``: mean, variance, minimum, lower quartile, median, upper quartile, maximum; the
        quantiles are interpolated linearly.
    """
    # One sort serves all quantiles, and unlike torch.quantile has no limit on the size.
    ordered = values.sort(1).values
    places = torch.tensor(QUANTILES, dtype=values.dtype, device=values.device)
    places = places * (values.shape[1] - 1)
    below = places.long()
    above = (below + 1).clamp(max=values.shape[1] - 1)
    quantiles = torch.lerp(
        ordered[:, below], ordered[:, above], (places - below).expand(len(values), -1)
    )
    moments = torch.stack([values.mean(1), values.var(1, correction=0)], 1)
    return torch.cat([moments, quantiles], 1)
