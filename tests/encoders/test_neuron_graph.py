"""The graph of an RNN has all its weights, at their places, and no order of neurons."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.encoders.encoder_cases import random_weights, small_encoder
from wsrl.encoders import NeuronGraph
from wsrl.encoders.kinds import Kind, KindEmbedding, code
from wsrl.encoders.neuron_graph import Graph, GraphReader, MessagePassing, compress
from wsrl.rnn import RNNSpec, RNNWeights, list_cells

SIZES = (3, 5, 2, 4)
FULL = {
    "input_width": 6,
    "input_bias": True,
    "readout_widths": (7, 3),
    "initial_state": True,
}
WITH_OPTIONS = ["leaky(constraint='dale')", "leaky(leak='shared')"]  # matrices that are no weights
CELLS = [*list_cells(), *WITH_OPTIONS]
SPECS = [RNNSpec(cell, *SIZES, **more) for cell in CELLS for more in ({}, FULL)]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def relabelled(weights: RNNWeights, label: str, left_out: str = "") -> RNNWeights:
    """Move every neuron of a label on by one place, in all tensors but one."""
    parts = []
    for tensor in weights.spec.tensors:
        value = weights.gated(tensor)
        axes = [2 + axis for axis, name in enumerate(tensor.axes) if name == label]
        moved = value.roll([1] * len(axes), axes) if axes and tensor.name != left_out else value
        parts.append(moved.flatten(1))
    return RNNWeights(torch.cat(parts, 1), weights.spec)


def changes(encoder: NeuronGraph, one: RNNWeights, other: RNNWeights) -> Tensor:
    return (encoder(one) - encoder(other)).abs().amax(1)


@every_spec
def test_units_of_all_kinds_have_no_order_but_inputs_and_outputs_have(spec: RNNSpec) -> None:
    encoder, weights = small_encoder("NeuronGraph", spec), random_weights(spec, 2)
    sizes = {n: k for t in spec.tensors for n, k in zip(t.axes, t.sizes, strict=True)}
    for label, size in sizes.items():
        change = changes(encoder, relabelled(weights, label), weights)
        if label in ("input", "output"):
            assert change.min() > 1e-6, label
        elif size > 1:
            assert change.max() < 1e-8, label
            readers = [tensor.name for tensor in spec.tensors if label in tensor.axes]
            for name in readers if len(readers) > 1 else ():
                broken = relabelled(weights, label, left_out=name)
                assert changes(encoder, broken, weights).min() > 1e-7, (label, name)


@every_spec
def test_one_number_of_any_tensor_changes_the_embedding(spec: RNNSpec) -> None:
    encoder, weights = small_encoder("NeuronGraph", spec), random_weights(spec, 1)
    places = [
        place
        for tensor in spec.tensors
        for place in (tensor.offset, tensor.offset + tensor.numel - 1)
    ]
    flat = weights.flat.repeat(len(places), 1)
    flat[range(len(places)), places] += 0.1
    change = (encoder(RNNWeights(flat, spec)) - encoder(weights)).abs().amax(1)
    assert change.min() > 1e-8


def test_what_is_no_number_is_seen() -> None:
    spec = RNNSpec("tanh", *SIZES, readout_widths=(7,))
    encoder, weights = small_encoder("NeuronGraph", spec), random_weights(spec)
    others = [replace(spec, cell="relu"), replace(spec, readout_activation="tanh")]
    for other in others:
        assert changes(encoder, RNNWeights(weights.flat, other), weights).min() > 1e-6
    unused = replace(spec, output_activation="softmax")  # recorded alone: no part of what it runs
    assert changes(encoder, RNNWeights(weights.flat, unused), weights).max() == 0


def test_edges_are_what_they_are_called_one_by_one() -> None:
    spec = RNNSpec("gru", 3, 5, 1, 4)
    torch.manual_seed(0)
    reader, weights = GraphReader(3, 4, 6, 4).double(), random_weights(spec, 1)
    graph = reader(weights)
    edges = {
        label: dict(zip(senders, joined.split([graph.sizes[by] for by in senders], 3), strict=True))
        for (label, joined), senders in zip(
            graph.edges.items(), graph.senders.values(), strict=True
        )
    }
    matrix = weights.tensors()["rnn.weight_ih_l0"][0].view(3, 5, 3)  # gates, hidden, inputs

    def heads(what: str, values: Tensor, senders: int) -> Tensor:
        name = f"rnn.weight_ih {what}"
        gates = [f"{name}, gate {gate}" for gate in range(3)]
        kinds = [Kind((name, gate), (f"{gate} of gru",)) for gate in gates]
        mapped = 3**0.5 * values @ reader.edges(kinds)
        means = (mapped[2:] + reader.shifts[:, 0, 0]).relu() / senders
        return torch.cat([mapped[:2] / senders**0.5, means])

    for neuron in range(5):
        for place in range(3):
            values = matrix[:, neuron, place]
            to_rows = edges["hidden_0"]["input"][0, :, neuron, place]
            to_columns = edges["input"]["hidden_0"][0, :, place, neuron]
            torch.testing.assert_close(to_rows, heads("to rows", values, 3))
            torch.testing.assert_close(to_columns, heads("to columns", values, 5))


def test_messages_are_sums_over_edges_one_by_one() -> None:
    torch.manual_seed(0)
    sizes, heads, width = {"input": 2, "hidden_0": 3, "alpha_0": 1}, 2, 4
    layer = MessagePassing(6, heads, width, 8).double()
    neurons = torch.randn(1, 6, 6).double()
    pairs = [("hidden_0", "input"), ("hidden_0", "hidden_0"), ("input", "hidden_0")]
    edges: dict[str, dict[str, Tensor]] = {label: {} for label in sizes}
    for to, by in pairs:
        edges[to][by] = torch.randn(1, heads, sizes[to], sizes[by]).double()
    starts = {"input": 0, "hidden_0": 2, "alpha_0": 5}
    values, expected = layer.values(layer.norm(neurons))[0], torch.zeros(6, heads * width).double()
    for to, by in pairs:
        for i in range(sizes[to]):
            for j in range(sizes[by]):
                for head in range(heads):
                    part = slice(head * width, (head + 1) * width)
                    passed = edges[to][by][0, head, i, j] * values[starts[by] + j, part]
                    expected[starts[to] + i, part] += passed
    inputs = torch.cat([layer.norm(neurons), compress(expected[None])], 2)
    senders = {label: tuple(by) for label, by in edges.items()}
    joined = {label: torch.cat([*by.values()], 3) for label, by in edges.items() if by}
    new = layer(neurons, Graph(sizes, neurons, senders, joined))
    torch.testing.assert_close(new, neurons + layer.update(inputs))


def test_words_are_told_apart_and_are_the_same_everywhere() -> None:
    codes = torch.stack([code(f"word {number}") for number in range(100)])
    overlaps = codes @ codes.T - torch.eye(100)
    assert overlaps.abs().max() < 0.35
    assert torch.linalg.matrix_rank(codes) == 100  # each can learn an embedding of its own
    assert (16 * code("lstm"))[:8].tolist() == [1, -1, -1, -1, -1, 1, 1, -1]
    embedding = KindEmbedding(5)
    kinds = [Kind(("a",), ("b",)), Kind(("a",), ()), Kind((), ("b",))]
    both, first, second = embedding(kinds)
    torch.testing.assert_close(both, first + second)
