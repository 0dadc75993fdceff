"""A graph network: neurons are nodes, weights are edges, messages go both ways along them.

Axes of tensors that have one label are the same neurons, whichever tensors they belong to. So one
rule over ``RNNSpec.tensors`` makes the graph of an RNN of any cell and size.

Source: the idea is of Kofinas et al. 2024 (networks as graphs of their neurons) and Lim et al. 2023
(graph metanetworks). The layers are our own: an edge is a matrix entry that passes values on.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Mlp, Reads, check_sizes
from wsrl.encoders.kinds import KindEmbedding, neuron_kind, tensor_kinds
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import MixedRNNs, RNNInterface, RNNs, RNNSpec, RNNWeights, TensorSpec
from wsrl.rnn.spec import INPUT, OUTPUT


def compress(values: Tensor) -> Tensor:
    """Return ``x / sqrt(1 + |x|)``: what is small stays, what is large becomes its root.

    >>> compress(torch.tensor([-0.01, 0.0, 99.0]))
    tensor([-0.0100,  0.0000,  9.9000])
    """
    return values * (1 + values.abs()).rsqrt()


class Graph(NamedTuple):
    """The graphs of ``B`` RNNs of one spec.

    Attributes:
        sizes: neurons of every label.
        features: what is known of each neuron, ``(B, n, C)``; labels one after the other.
        senders: for every label, those whose neurons send messages to it.
        edges: for every label that has senders, ``(B, heads, to, from)``: the senders' neurons one
            label after the other.
    """

    sizes: dict[str, int]
    features: Tensor
    senders: dict[str, tuple[str, ...]]
    edges: dict[str, Tensor]


class GraphReader(nn.Module):
    """Makes a ``Graph`` of weights.

    A weight in a row of ``n`` is multiplied by ``sqrt(n)``, and so is about as large in an RNN of
    any size. A head's number of an edge is a linear map of all gates of all tensors between both
    neurons, another one for each direction. The first half of the heads are that map, divided by
    the square root of the number of senders: along rows they pass on what the RNN itself would.
    The others are ReLU of the map and a shift, divided by the number of senders: their messages
    are means, which tell how large the weights are.
    """

    def __init__(self, inputs: int, outputs: int, channels: int, heads: int) -> None:
        super().__init__()
        self.plain = heads // 2
        self.neurons = KindEmbedding(channels)
        self.values = KindEmbedding(channels)
        self.edges = KindEmbedding(heads, 0.3)
        self.shifts = nn.Parameter(torch.randn(heads - self.plain, 1, 1))
        places = {INPUT: inputs, OUTPUT: outputs}
        self.places = nn.ParameterDict(
            {label: nn.Parameter(torch.randn(size, channels)) for label, size in places.items()}
        )

    def forward(self, weights: RNNWeights) -> Graph:
        """Read ``B`` RNNs of one spec."""
        spec, between = weights.spec, dict[tuple[str, ...], list[TensorSpec]]()
        for tensor in spec.tensors:
            between.setdefault(tensor.axes, []).append(tensor)
        sizes = {n: k for t in spec.tensors for n, k in zip(t.axes, t.sizes, strict=True)}
        features = self._place(weights, sizes)
        edges: dict[str, dict[str, Tensor]] = {label: {} for label in sizes}
        for (row, *columns), tensors in between.items():
            values = torch.cat([weights.gated(tensor) for tensor in tensors], 1)
            for column in columns:
                rows, back = self._connect(spec, tensors, values)
                for to, by, edge in ((row, column, rows), (column, row, back)):
                    edges[to][by] = edges[to][by] + edge if by in edges[to] else edge
            if columns == [row]:  # a neuron's connections with itself
                values = values.diagonal(dim1=2, dim2=3)
            if values.ndim == 3:
                kinds = self.values(tensor_kinds(spec, tensors, "of a neuron"))
                features[row] = features[row] + compress(values).mT @ kinds
        return Graph(
            sizes,
            torch.cat([*features.values()], 1),
            {to: tuple(by) for to, by in edges.items()},
            {to: torch.cat([*by.values()], 3) for to, by in edges.items() if by},
        )

    def _place(self, weights: RNNWeights, sizes: dict[str, int]) -> dict[str, Tensor]:
        """Return the features ``(B, size, C)`` of neurons that their label and place say."""
        kinds, found = self.neurons([neuron_kind(weights.spec, label) for label in sizes]), {}
        for (label, size), kind in zip(sizes.items(), kinds, strict=True):
            place = kind + self.places[label] if label in self.places else kind
            found[label] = place.expand(len(weights), size, -1)
        return found

    def _connect(
        self, spec: RNNSpec, tensors: list[TensorSpec], values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the edges to rows and to columns of ``values (B, gates, rows, columns)``."""
        scaled = values.flatten(2) * values.shape[3] ** 0.5
        edges = []
        for what, senders in (("to rows", values.shape[3]), ("to columns", values.shape[2])):
            maps = self.edges(tensor_kinds(spec, tensors, what)).mT
            heads = (maps @ scaled).unflatten(2, values.shape[2:])
            plain, shifted = heads[:, : self.plain], heads[:, self.plain :] + self.shifts
            edges.append(torch.cat([plain / senders**0.5, shifted.relu() / senders], 1))
        return edges[0], edges[1].mT


class MessagePassing(nn.Module):
    """One round: each head passes ``head_width`` numbers along its edges; then an MLP, residual."""

    def __init__(self, channels: int, heads: int, head_width: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.values = nn.Linear(channels, heads * head_width)
        self.update = Mlp(channels + heads * head_width, width, 1, channels)

    def forward(self, neurons: Tensor, graph: Graph) -> Tensor:
        """Map ``(B, n, C)`` to ``(B, n, C)``."""
        normed = self.norm(neurons)
        values = self.values(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)
        by_label = dict(zip(graph.sizes, values.split([*graph.sizes.values()], 2), strict=True))
        received = []
        for label, own in by_label.items():
            sent = [by_label[sender] for sender in graph.senders[label]]
            received.append(graph.edges[label] @ torch.cat(sent, 2) if sent else own * 0)
        messages = compress(torch.cat(received, 2).transpose(1, 2).flatten(2))
        result: Tensor = neurons + self.update(torch.cat([normed, messages], 2))
        return result


@register_encoder
class NeuronGraph(Encoder):
    """Messages between neurons along the weights, in several rounds, and the mean over neurons.

    Inputs, outputs, hidden neurons and units of a cell's own axes are nodes; biases and other
    vectors are features of theirs. Inputs and outputs have an identity, the others have none.
    Reads any cell and size, also those that are registered later: what a tensor is, is told by the
    embeddings of its name and gate, and by smaller ones of both in this cell (``KindEmbedding``).

    Source: see the module.

    Args:
        channels: numbers that describe a neuron.
        heads: numbers that describe an edge.
        head_width: numbers that each head passes along an edge.
        rounds: of messages.
        width: size of the MLPs' hidden layers.
    """

    reads: ClassVar[Reads] = "any weights"
    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec | RNNInterface,
        embedding_dim: int = 16,
        channels: int = 64,
        heads: int = 16,
        head_width: int = 8,
        rounds: int = 4,
        width: int = 128,
    ) -> None:
        super().__init__(spec, embedding_dim)
        check_sizes(channels=channels, heads=heads, head_width=head_width)
        check_sizes(rounds=rounds, width=width)
        self.reader = GraphReader(spec.input_size, spec.output_size, channels, heads)
        self.rounds = nn.ModuleList(
            MessagePassing(channels, heads, head_width, width) for _ in range(rounds)
        )
        self.summary = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width), nn.ReLU())
        self.head = Mlp(3 * width, width, 1, embedding_dim)

    def forward(self, weights: RNNs) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        if isinstance(weights, MixedRNNs):
            return weights.join([self.forward(group) for group in weights.groups])
        assert isinstance(weights, RNNWeights)  # black boxes are refused
        graph = self.reader(weights)
        neurons = graph.features
        for messages in self.rounds:
            neurons = messages(neurons, graph)
        parts = self.summary(neurons).split([*graph.sizes.values()], 1)
        means = {label: part.mean(1) for label, part in zip(graph.sizes, parts, strict=True)}
        ends = [means.pop(label) for label in (INPUT, OUTPUT)]
        inside = torch.stack([*means.values()]).mean(0)
        embedding: Tensor = self.head(torch.cat([*ends, inside], 1))
        return embedding
