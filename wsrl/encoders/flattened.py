"""The flat vector itself into an MLP."""

from torch import Tensor

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights


@register_encoder
class FlattenedWeights(Encoder):
    """An MLP on the whole flat vector of parameters.

    Not invariant to permutations of hidden neurons: train it on randomly permuted RNNs.

    Args:
        width: size of the MLP's hidden layers.
        depth: number of hidden layers.
        unit_norm: as of ``Encoder``.
    """

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        width: int = 128,
        depth: int = 3,
        unit_norm: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim, unit_norm)
        check_sizes(width=width, depth=depth)
        self.mlp = Mlp(spec.num_parameters, width, depth, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        embedding: Tensor = self.mlp(weights.flat)
        return embedding
