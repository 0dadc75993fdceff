"""Probes and weights together: what an RNN says, beside how it is wired."""

from collections import Counter
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.deep_weight_space import FIXED_AXES
from wsrl.encoders.free_running import FreeRunningProbing
from wsrl.encoders.probing import InputActivation
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights


class NeuronFeatures(nn.Module):
    """Reads weights neuron by neuron: the cheap part of a deep-weight-space layer.

    Every neuron is described by the mean and the mean square of its weights in each tensor that has
    an axis of such neurons, gate by gate. One MLP for all neurons of a layer makes ``channels`` of
    that, and its results are averaged: their order cannot matter. Inputs and outputs, which cannot
    be permuted, are kept apart: there are ``outputs`` features in all. What a deep-weight-space
    layer does position by position, and is most of its cost, is left out.
    """

    def __init__(self, spec: RNNSpec, channels: int) -> None:
        super().__init__()
        sizes: dict[str, int] = {}
        read = Counter[str]()
        for tensor in spec.tensors:
            for label, size in zip(tensor.axes, tensor.sizes, strict=True):
                sizes[label] = size if label in FIXED_AXES else 1
                read[label] += len(tensor.axes) * tensor.gates  # one or two moments
        mlps = {label: Mlp(count, channels, 1, channels) for label, count in read.items()}
        self.by_label = nn.ModuleDict(mlps)
        self.outputs = channels * sum(sizes.values())

    def forward(self, weights: RNNWeights) -> Tensor:
        """Read ``B`` RNNs; return ``(B, outputs)``."""
        described = describe_neurons(weights)
        features = []
        for label, read in self.by_label.items():
            values = read(described[label]).relu()  # (B, n, channels)
            features.append(values.flatten(1) if label in FIXED_AXES else values.mean(1))
        return torch.cat(features, 1)


def describe_neurons(weights: RNNWeights) -> dict[str, Tensor]:
    """Return, by label of ``TensorSpec.axes``, what is known of each neuron, ``(B, n, values)``."""
    found: dict[str, list[Tensor]] = {}
    for tensor in weights.spec.tensors:
        value = weights.gated(tensor)  # (B, gates, *sizes)
        if value.ndim == 3:
            found.setdefault(tensor.axes[0], []).append(value)
            continue
        square = value.square()
        for label, other in zip(tensor.axes, (3, 2), strict=True):
            found.setdefault(label, []).extend([value.mean(other), square.mean(other)])
    return {label: torch.cat(parts, 1).mT for label, parts in found.items()}


@register_encoder
class ProbesAndWeights(Encoder):
    """``FreeRunningProbing`` beside ``NeuronFeatures``: the sum of what MLPs make of either.

    Probes tell what the RNN does, but only where they led; the weights hold the rest. Their part
    starts small: much in the weights is easy to see and of no use, and would hide the answers.

    Other options as of ``FreeRunningProbing``.

    Args:
        channels: of the neurons' features.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        num_probes: int = 1,
        probing_length: int | None = None,
        probe_width: int = 128,
        reader_width: int = 256,
        reader_layers: int = 2,
        input_activation: InputActivation | None = None,
        channels: int = 16,
        open_forget_gates: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim)
        check_sizes(probe_width=probe_width, channels=channels)
        asked, reader = (num_probes, probing_length, probe_width), (reader_width, reader_layers)
        how = (input_activation, open_forget_gates)
        self.probing = FreeRunningProbing(spec, embedding_dim, *asked, *reader, *how)
        self.neurons = NeuronFeatures(spec, channels)
        self.head = Mlp(self.neurons.outputs, probe_width, 1, embedding_dim)
        with torch.no_grad():
            cast(nn.Linear, self.head[-1]).weight.mul_(0.1)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        embedding: Tensor = self.probing(weights) + self.head(self.neurons(weights))
        return embedding
