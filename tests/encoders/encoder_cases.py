"""What the tests of encoders share: small RNNs, small encoders, broken permutations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wsrl.encoders import Encoder, create_encoder
from wsrl.rnn import RNNSpec, RNNWeights

SPECS = [
    RNNSpec("lstm", 3, 5, 2, 4),
    RNNSpec("gru", 3, 5, 2, 4),
    RNNSpec("tanh", 3, 5, 2, 4),
    RNNSpec("linear", 3, 5, 2, 4),
    RNNSpec("lstm", 2, 4, 1, 1, bias=False),
    RNNSpec("gru", 2, 3, 3, 2, bias=False),
]

PROBING: dict[str, Any] = {
    "num_probes": 2,
    "probing_length": 4,
    "probe_width": 8,
    "reader_width": 8,
    "reader_layers": 2,
}
SMALL: dict[str, dict[str, Any]] = {
    "LayerwiseStatistics": {"width": 16, "depth": 2},
    "FlattenedWeights": {"width": 16, "depth": 2},
    "ParameterTransformer": {"width": 8, "depth": 2, "heads": 2, "feedforward": 2},
    "DeepWeightSpace": {"channels": 6, "depth": 3, "width": 8},
    "NeuronGraph": {"channels": 8, "heads": 4, "head_width": 3, "rounds": 2, "width": 24},
    "Spectral": {"functions": 4, "width": 16, "depth": 2},
    "NoninteractiveProbing": PROBING,
    "InteractiveProbing": PROBING,
    "FreeRunningProbing": PROBING,
    "SampledProbing": PROBING,
    "ProbeGenerators": PROBING,
    "ProbesAndWeights": PROBING | {"channels": 8},
}


def small_encoder(name: str, spec: RNNSpec, seed: int = 0) -> Encoder:
    """Build a small float64 encoder in evaluation mode (no dropout)."""
    torch.manual_seed(seed)
    return create_encoder(name, spec, embedding_dim=6, **SMALL.get(name, {})).double().eval()


def random_weights(spec: RNNSpec, batch: int = 4, seed: int = 1) -> RNNWeights:
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(batch, spec.num_parameters, generator=generator, dtype=torch.float64)
    return RNNWeights(0.6 * flat, spec)


def replace(weights: RNNWeights, name: str, value: Tensor) -> RNNWeights:
    """Return the RNNs with one tensor replaced by ``value (B, *shape)``."""
    parts = weights.tensors() | {name: value}
    return RNNWeights(torch.cat([part.flatten(1) for part in parts.values()], 1), weights.spec)


def rotation(spec: RNNSpec, layer: int) -> list[Tensor]:
    """Move every neuron of one layer on by one place; leave the other layers."""
    orders = [torch.arange(spec.hidden_size) for _ in range(spec.num_layers)]
    orders[layer] = orders[layer].roll(1)
    return orders


def column_tensors(spec: RNNSpec, layer: int) -> list[str]:
    """Name the tensors whose columns are the neurons of a layer: its own and the next reader's."""
    last = layer == spec.num_layers - 1
    reader = "linear.weight" if last else f"rnn.weight_ih_l{layer + 1}"
    return [f"rnn.weight_hh_l{layer}", reader]


def without_columns(weights: RNNWeights, moved: RNNWeights, name: str, layer: int) -> RNNWeights:
    """Undo ``rotation`` for the columns of one tensor: one coupling is left out."""
    assert not torch.equal(weights.flat, moved.flat)
    return replace(moved, name, moved.tensors()[name].roll(-1, 2))
