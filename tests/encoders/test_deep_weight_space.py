"""The equivariant layer: what is done to its input is done to its output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.encoders.encoder_cases import SPECS, random_weights
from wsrl.encoders.deep_weight_space import DeepWeightSpaceLayer, EquivariantMap, as_channels
from wsrl.rnn import RNNSpec
from wsrl.rnn.matrices import pool

CHANNELS = 3
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def random_tensors(spec: RNNSpec) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(2, *tensor.sizes, CHANNELS, generator=generator, dtype=torch.float64)
        for tensor in spec.tensors
    ]


def apply(layer: nn.Module, tensors: list[Tensor]) -> list[Tensor]:
    return [result.values for result in layer([pool(tensor) for tensor in tensors])]


def roll(spec: RNNSpec, tensors: list[Tensor], label: str) -> list[Tensor]:
    """Permute the neurons of one label in all tensors."""
    rolled = []
    for tensor, value in zip(spec.tensors, tensors, strict=True):
        shifted = [axis + 1 for axis, name in enumerate(tensor.axes) if name == label]
        rolled.append(value.roll([1] * len(shifted), shifted) if shifted else value)
    return rolled


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def test_inputs_and_outputs_can_be_told_apart_only_with_their_embeddings() -> None:
    spec = SPECS[0]
    torch.manual_seed(0)
    plain = EquivariantMap(spec, CHANNELS, 5).double()
    marked = DeepWeightSpaceLayer(spec, CHANNELS, 5).double()
    tensors = random_tensors(spec)
    for label in ("input", "output"):
        moved = roll(spec, tensors, label)
        for layer, equivariant in ((plain, True), (marked, False)):
            found = distance(apply(layer, moved), roll(spec, apply(layer, tensors), label))
            assert found < 1e-8 if equivariant else found > 1e-3


@every_spec
def test_the_layer_equals_its_definition_term_by_term(spec: RNNSpec) -> None:
    """Written out with loops: every pair of axes with one label, every pair of tensors."""
    torch.manual_seed(0)
    layer, tensors = EquivariantMap(spec, CHANNELS, 5).double(), random_tensors(spec)
    axes = [tensor.axes for tensor in spec.tensors]
    places = {
        label: [(t, a) for t, names in enumerate(axes) for a, n in enumerate(names) if n == label]
        for names in axes
        for label in names
    }
    common = layer.from_means.weight.view(len(axes), 5, len(axes), CHANNELS)
    for t, value in enumerate(apply(layer, tensors)):
        expected = tensors[t] @ layer.pointwise[t].weight.T
        expected = expected + layer.from_means.bias.view(len(axes), 5)[t]
        for u, other in enumerate(tensors):
            mean = other.flatten(1, -2).mean(1) @ common[t, :, u].T
            expected = expected + mean.view(2, *[1] * (expected.ndim - 2), 5)
        for a, label in enumerate(axes[t]):
            here = places[label]
            maps = layer.along_axes[label].weight.view(len(here), 5, len(here), CHANNELS)
            for number, (u, b) in enumerate(here):
                moved = tensors[u].movedim(b + 1, 1)
                pooled = moved.reshape(2, moved.shape[1], -1, CHANNELS).mean(2)
                term = pooled @ maps[here.index((t, a)), :, number].T
                for other in range(len(axes[t])):
                    if other != a:
                        term = term.unsqueeze(other + 1)
                expected = expected + term
        torch.testing.assert_close(value, expected.relu())


def test_embeddings_of_neurons_are_as_if_added_before_the_map() -> None:
    spec = SPECS[0]
    torch.manual_seed(0)
    layer, tensors = DeepWeightSpaceLayer(spec, CHANNELS, 5).double(), random_tensors(spec)
    marked = []
    for tensor, value in zip(spec.tensors, tensors, strict=True):
        for axis, label in enumerate(tensor.axes):
            if label in layer.neurons:
                last = [1] * (len(tensor.axes) - axis - 1)
                value = value + layer.neurons[label].view(-1, *last, CHANNELS)
        marked.append(value)
    assert distance(apply(layer, tensors), apply(layer.linear, marked)) < 1e-12
    assert distance(apply(layer, tensors), apply(layer.linear, tensors)) > 1e-3


def test_gates_are_channels_and_the_readout_is_repeated() -> None:
    spec = SPECS[0]
    weights = random_weights(spec, 2)
    parts = dict(zip((t.name for t in spec.tensors), as_channels(weights), strict=True))
    rows = weights.tensors()["rnn.weight_hh_l1"]
    assert parts["rnn.weight_hh_l1"].shape == (2, 5, 5, 4)
    torch.testing.assert_close(parts["rnn.weight_hh_l1"][..., 2], rows[:, 10:15])
    readout = weights.tensors()["linear.weight"]
    for gate in range(4):
        torch.testing.assert_close(parts["linear.weight"][..., gate], readout)
