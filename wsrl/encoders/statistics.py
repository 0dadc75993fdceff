"""Layer-wise statistics: seven numbers of every parameter tensor."""

from typing import ClassVar

from torch import Tensor

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.statistics import NUM_STATISTICS, weight_statistics


@register_encoder
class LayerwiseStatistics(Encoder):
    """An MLP on the mean, variance and quantiles of every parameter tensor.

    Args:
        width: size of the MLP's hidden layers.
        depth: number of hidden layers.
        unit_norm: as of ``Encoder``.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        width: int = 768,
        depth: int = 3,
        unit_norm: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim, unit_norm)
        check_sizes(width=width, depth=depth)
        self.mlp = Mlp(NUM_STATISTICS * len(spec.tensors), width, depth, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        embedding: Tensor = self.mlp(weight_statistics(weights).flatten(1))
        return embedding
