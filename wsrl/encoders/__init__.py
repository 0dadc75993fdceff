"""Encoders: from the weights of RNNs to embeddings."""

from wsrl.encoders.base import Encoder, EncoderFactory, embed
from wsrl.encoders.constant import ConstantEmbedding
from wsrl.encoders.deep_weight_space import DeepWeightSpace
from wsrl.encoders.flattened import FlattenedWeights
from wsrl.encoders.free_running import FreeRunningProbing
from wsrl.encoders.probe_generators import ProbeGenerators
from wsrl.encoders.probes_and_weights import ProbesAndWeights
from wsrl.encoders.probing import InteractiveProbing, NoninteractiveProbing, ProbingEncoder
from wsrl.encoders.registry import (
    build_encoder,
    create_encoder,
    get_encoder,
    list_encoders,
    register_encoder,
)
from wsrl.encoders.spectral import Spectral
from wsrl.encoders.statistics import LayerwiseStatistics
from wsrl.encoders.transformer import ParameterTransformer
from wsrl.plugins import import_modules

__all__ = [
    "ConstantEmbedding",
    "DeepWeightSpace",
    "Encoder",
    "EncoderFactory",
    "FlattenedWeights",
    "FreeRunningProbing",
    "InteractiveProbing",
    "LayerwiseStatistics",
    "NoninteractiveProbing",
    "ParameterTransformer",
    "ProbeGenerators",
    "ProbesAndWeights",
    "ProbingEncoder",
    "Spectral",
    "build_encoder",
    "create_encoder",
    "embed",
    "get_encoder",
    "list_encoders",
    "register_encoder",
]

import_modules(__name__, __path__)
