"""Weights in a form in which only the order and the signs of neurons are arbitrary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.cells import NeuronFactors, Tensors
from wsrl.rnn.spec import TensorSpec, hidden_axis, initial_name, layer_name

_ROUNDS = 1000
_CLOSE = 1e-10  # of factors to 1, at which neurons are balanced


@dataclass(frozen=True)
class Part:
    """The rows of one gate of a tensor of ``B`` RNNs.

    Attributes:
        values: ``(B, R, C)`` in float64; ``C`` is 1 for a vector.
        rows: the layer of whose neurons rows are; ``None`` where they are of no layer.
        columns: the layer of whose neurons columns are.
        row_factors: whether a neuron's factor multiplies its row.
        column_factors: whether it divides its column.
    """

    values: Tensor
    rows: int | None
    columns: int | None
    row_factors: bool
    column_factors: bool


def no_weight_distance(spec: RNNSpec) -> str | None:
    """Say why weights of a spec cannot be compared; ``None`` where they can.

    >>> no_weight_distance(RNNSpec("tanh", 3, 8, 1, 2)) is None
    True
    >>> no_weight_distance(RNNSpec("linear", 3, 8, 1, 2))
    'weights of linear can change by changes of basis and compute the same'
    """
    for symmetry in spec.kind.symmetries:
        if symmetry.factors is None and symmetry.canonical is None:
            return f"weights of {spec.cell} can change by {symmetry.name} and compute the same"
    return None


def factors_of(spec: RNNSpec) -> NeuronFactors | None:
    """Return how a factor for each neuron acts, if the cell has such a symmetry."""
    found = [each.factors for each in spec.kind.symmetries if each.factors is not None]
    return found[0] if found else None


def comparable_parts(weights: RNNWeights) -> list[Part]:
    """Return all weights, with a cell's symmetries other than permutations and signs removed.

    Biases are added up and unused weights are set to a constant. Where neurons can be scaled, each
    is scaled so that its incoming and outgoing weights have equal sums of squares (without its
    coupling to itself): of all scales that keep the function these make the weights smallest. A
    neuron without incoming or without outgoing weights keeps its scale.
    """
    spec, new = weights.spec, {n: v.double() for n, v in weights.tensors().items()}
    own: dict[str, tuple[int, str]] = {}
    for layer, tensors in enumerate(weights.to(torch.float64).layers()):
        settled: Tensors = tensors
        for symmetry in spec.kind.symmetries:
            settled = symmetry.canonical(settled) if symmetry.canonical else settled
        for name, value in settled.items():
            part = name.removeprefix("initial_")
            full = layer_name(name, layer) if part == name else initial_name(part, layer)
            new[full], own[full] = value, (layer, name)
    factors = factors_of(spec)
    parts = [
        _part(new[tensor.name], tensor, gate, own.get(tensor.name), factors, spec)
        for tensor in spec.tensors
        for gate in range(tensor.gates)
    ]
    return parts if factors is None or factors.signs else _balanced(parts, spec)


def _part(
    value: Tensor,
    tensor: TensorSpec,
    gate: int,
    own: tuple[int, str] | None,
    factors: NeuronFactors | None,
    spec: RNNSpec,
) -> Part:
    """Return one gate of a tensor; ``own`` is its layer and the cell's name of it."""
    values = value.view(len(value), tensor.gates, *tensor.sizes)[:, gate]
    layers = {hidden_axis(layer): layer for layer in range(spec.num_layers)}
    rows = layers.get(tensor.axes[0])
    columns = layers.get(tensor.axes[1]) if len(tensor.axes) == 2 else None
    row_factors = column_factors = False
    if factors is not None:
        if rows is not None and own is not None:
            first = own[1].startswith("initial_")
            row_factors = first or (own[1] not in factors.kept and gate == factors.gate)
        if columns is not None:
            inside = own is not None and own[0] == columns
            column_factors = not inside or (own is not None and own[1] == factors.columns)
    matrix = values if values.ndim == 3 else values[:, :, None]
    return Part(matrix, rows, columns, row_factors, column_factors)


def _balanced(parts: Sequence[Part], spec: RNNSpec) -> list[Part]:
    """Scale neurons until the weights are smallest."""
    parts = list(parts)
    for _ in range(_ROUNDS):
        furthest = 1.0
        for layer in range(spec.num_layers):
            incoming, outgoing = _sizes(parts, layer)
            ratio = torch.where((incoming > 0) & (outgoing > 0), outgoing / incoming, 1)
            scale = ratio ** (1 / 8)  # half the step that is best for one neuron alone
            parts = [_scaled(part, layer, scale) for part in parts]
            furthest = max(furthest, float(torch.maximum(scale, 1 / scale).max()))
        if furthest < 1 + _CLOSE:
            break
    # Scales are now fixed: parts no longer change by factors.
    return [replace(part, row_factors=False, column_factors=False) for part in parts]


def _sizes(parts: Sequence[Part], layer: int) -> tuple[Tensor, Tensor]:
    """Return the sums of squares ``(B, H)`` of the incoming and the outgoing weights."""
    incoming, outgoing = torch.zeros(2).double()
    for part in parts:
        squares = part.values.square()
        mine = part.rows == layer and part.row_factors
        theirs = part.columns == layer and part.column_factors
        if mine and theirs:  # a coupling to itself does not change
            squares = squares - squares.diagonal(dim1=1, dim2=2).diag_embed()
        incoming = incoming + squares.sum(2) if mine else incoming
        outgoing = outgoing + squares.sum(1) if theirs else outgoing
    return incoming, outgoing


def _scaled(part: Part, layer: int, scale: Tensor) -> Part:
    """Multiply the rows of a layer's neurons and divide their columns, ``(B, H)``."""
    values = part.values
    if part.rows == layer and part.row_factors:
        values = values * scale[:, :, None]
    if part.columns == layer and part.column_factors:
        values = values / scale[:, None]
    return replace(part, values=values)
