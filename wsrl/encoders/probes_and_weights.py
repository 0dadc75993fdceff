"""Probes and weights together: what an RNN says, beside how it is wired."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from wsrl.encoders.base import Encoder, check_sizes
from wsrl.encoders.deep_weight_space import DeepWeightSpace
from wsrl.encoders.free_running import FreeRunningProbing
from wsrl.encoders.mlp import Mlp
from wsrl.encoders.probing import InputActivation
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights


@register_encoder
class ProbesAndWeights(Encoder):
    """``FreeRunningProbing`` beside a small ``DeepWeightSpace``, and an MLP that reads both.

    Either gives as many features as the MLP is wide. Probes tell what the RNN does but only for the
    inputs they meet; the weights hold all else, but are hard to read.

    Args:
        spec: the RNNs it reads.
        embedding_dim: size ``D`` of an embedding.
        num_probes: as of ``FreeRunningProbing``, like the five that follow.
        probing_length: steps of each.
        probe_width: size of the MLPs' hidden layers, and of the features of either part.
        reader_width: size of the reading LSTM.
        reader_layers: layers of the reading LSTM.
        input_activation: of the probing inputs.
        channels: channels of every equivariant layer.
        depth: number of equivariant layers.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        num_probes: int = 4,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
        channels: int = 8,
        depth: int = 2,
    ) -> None:
        super().__init__(spec, embedding_dim)
        check_sizes(probe_width=probe_width)
        self.probing = FreeRunningProbing(
            spec,
            probe_width,
            num_probes,
            probing_length,
            probe_width,
            reader_width,
            reader_layers,
            input_activation,
        )
        self.looking = DeepWeightSpace(spec, probe_width, channels, depth, probe_width)
        self.head = Mlp(2 * probe_width, probe_width, 1, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        features = torch.cat([self.probing(weights), self.looking(weights)], 1).relu()
        embedding: Tensor = self.head(features)
        return embedding
