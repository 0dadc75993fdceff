"""Encoders: from the weights of RNNs to embeddings."""

from wsrl.encoders.base import Encoder as Encoder
from wsrl.encoders.base import EncoderFactory as EncoderFactory
from wsrl.encoders.base import embed as embed
from wsrl.encoders.constant import ConstantEmbedding as ConstantEmbedding
from wsrl.encoders.deep_weight_space import DeepWeightSpace as DeepWeightSpace
from wsrl.encoders.flattened import FlattenedWeights as FlattenedWeights
from wsrl.encoders.free_running import FreeRunningProbing as FreeRunningProbing
from wsrl.encoders.neuron_graph import NeuronGraph as NeuronGraph
from wsrl.encoders.probe_generators import ProbeGenerators as ProbeGenerators
from wsrl.encoders.probes_and_weights import ProbesAndWeights as ProbesAndWeights
from wsrl.encoders.probing import InteractiveProbing as InteractiveProbing
from wsrl.encoders.probing import NoninteractiveProbing as NoninteractiveProbing
from wsrl.encoders.probing import ProbingEncoder as ProbingEncoder
from wsrl.encoders.registry import build_encoder as build_encoder
from wsrl.encoders.registry import create_encoder as create_encoder
from wsrl.encoders.registry import get_encoder as get_encoder
from wsrl.encoders.registry import list_encoders as list_encoders
from wsrl.encoders.registry import register_encoder as register_encoder
from wsrl.encoders.sampled import SampledProbing as SampledProbing
from wsrl.encoders.spectral import Spectral as Spectral
from wsrl.encoders.statistics import LayerwiseStatistics as LayerwiseStatistics
from wsrl.encoders.transformer import ParameterTransformer as ParameterTransformer
from wsrl.plugins import import_modules

import_modules(__name__, __path__)
