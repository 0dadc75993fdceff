"""Pairs of RNNs made to differ in one respect, whether an encoder is to see it or not."""

from typing import NamedTuple

import torch
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights, TensorSpec, random_permutations, with_initial_values
from wsrl.rnn.cells import MatrixCell
from wsrl.rnn.spec import INPUT, hidden_axis

_STEEP = 200.0
_FIRST = hidden_axis(0)


class Pair(NamedTuple):
    """``B`` RNNs and as many others, and whether each two compute the same on all inputs."""

    one: RNNWeights
    other: RNNWeights
    same_function: bool


def random_rnns(spec: RNNSpec, count: int, generator: torch.Generator) -> RNNWeights:
    """Draw RNNs with weights of standard deviation ``H ** -0.5``, in float64.

    Tensors with initial values of their own, such as masks and time constants, have those.
    """
    flat = torch.randn(count, spec.num_parameters, generator=generator, dtype=torch.float64)
    return with_initial_values(spec, flat * spec.hidden_size**-0.5)


def make_pairs(weights: RNNWeights, generator: torch.Generator) -> dict[str, Pair]:
    """Make a pair of each kind that the cell and sizes allow, by name.

    Raises:
        ValueError: for fewer than 3 hidden neurons.
    """
    spec = weights.spec
    if spec.hidden_size < 3:
        raise ValueError(f"pairs need at least 3 hidden neurons, not {spec.hidden_size}")
    orders = random_permutations(spec, len(weights), generator)
    moved = weights.permute(orders)
    coupling = _last_coupling(spec)
    columns, value = orders[-1].argsort(1)[:, None, :], moved.tensor(coupling)
    broken = {coupling.name: value.gather(2, columns.expand_as(value))}
    unused = unused_neuron(weights, generator)
    entries = torch.randperm(coupling.numel, generator=generator)  # keeps a tensor's statistics
    shuffled = {coupling.name: weights.tensor(coupling).flatten(1)[:, entries]}
    readers = [tensor for tensor in spec.tensors if tensor.axes[-1] == INPUT]
    rolled = {tensor.name: weights.tensor(tensor).roll(1, 2) for tensor in readers}
    changed = RNNWeights(weights.flat.clone(), spec)
    changed.flat[:, 0] += 0.1
    pairs = {
        "neurons reordered": Pair(weights, moved, True),
        "one coupling left out": Pair(weights, _with(moved, broken), False),
        "an unused neuron wired otherwise": unused,
        "one weight changed": Pair(weights, changed, False),
        "entries of one tensor shuffled": Pair(weights, _with(weights, shuffled), False),
        "inputs permuted": Pair(weights, _with(weights, rolled), False),
    }
    if isinstance(cell := spec.kind, MatrixCell) and spec.is_core:
        if cell.gain is not None:
            late = f"differ after {spec.hidden_size - 1} steps alone"
            pairs[late] = late_difference(weights, cell.candidate, cell.gain)
        if spec.bias and cell.input_gate is not None:
            pairs["differ on rare inputs alone"] = rare_difference(weights, cell)
    for symmetry in spec.kind.symmetries:
        other = weights.transform(symmetry, generator)
        if not torch.equal(other.flat, weights.flat):  # as without biases to be split
            pairs[symmetry.name] = Pair(weights, other, True)
    return pairs


def _last_coupling(spec: RNNSpec) -> TensorSpec:
    """Return the recurrent matrix of the last layer, or the readout's where there is none."""
    last = hidden_axis(spec.num_layers - 1)
    readers = [tensor for tensor in spec.tensors if tensor.axes[1:] == (last,)]
    return min(readers, key=lambda tensor: tensor.axes[0] != last)


def unused_neuron(weights: RNNWeights, generator: torch.Generator) -> Pair:
    """Let nothing read the first neuron of the first layer; draw what it reads anew."""
    parts: list[dict[str, Tensor]] = [{}, {}]
    for tensor in weights.spec.tensors:
        if _FIRST not in tensor.axes:
            continue
        value = weights.gated(tensor)
        drawn = torch.randn(value[:, :, 0].shape, generator=generator, dtype=torch.float64)
        for number, new in enumerate(parts):
            new[tensor.name] = value.clone()
            if tensor.axes[0] == _FIRST and number:
                new[tensor.name][:, :, 0] = drawn.to(value)
            if tensor.axes[-1] == _FIRST and len(tensor.axes) == 2:
                new[tensor.name][..., 0] = 0
    return Pair(_with(weights, parts[0]), _with(weights, parts[1]), True)


def late_difference(weights: RNNWeights, gate: int, gain: float) -> Pair:
    """Make RNNs that are the same for ``H - 1`` steps on any input, and differ from then on.

    In the first layer each neuron but the first hears the one before it alone, so that neuron ``k``
    (from 0) is exactly 0 for ``k`` steps. The two differ in what the last one does to its reader.
    """
    spec = weights.spec
    new = {}
    for tensor in spec.tensors:
        if tensor.axes[0] != _FIRST:
            continue
        value = weights.gated(tensor).clone()
        value[:, gate, 1:] = 0
        if tensor.axes[-1] == _FIRST and len(tensor.axes) == 2:
            value[:, gate].diagonal(-1, 1, 2).fill_(gain)
        new[tensor.name] = value
    return _read_otherwise(_with(weights, new))


def rare_difference(weights: RNNWeights, cell: MatrixCell) -> Pair:
    """Make RNNs with an input gate that differ only after inputs whose first value is near 1.

    The last neuron of the first layer takes something in only then; of an LSTM, below 0.8 what
    comes through is less than 1e-8. The two RNNs differ in what it does to its reader.
    """
    gate, last, new = cell.input_gate, weights.spec.hidden_size - 1, {}
    for tensor in weights.spec.tensors:
        if tensor.axes[0] == _FIRST:
            value = weights.gated(tensor).clone()
            value[:, (gate, cell.candidate), last] = 0
            if tensor.axes[-1] == INPUT:
                value[:, gate, last, 0] = _STEEP
            new[tensor.name] = value
    new["rnn.bias_ih_l0"][:, gate, last] = -0.9 * _STEEP
    new["rnn.bias_ih_l0"][:, cell.candidate, last] = 1
    return _read_otherwise(_with(weights, new))


def _read_otherwise(weights: RNNWeights) -> Pair:
    """Change what the last neuron of the first layer does to what reads the layer."""
    new = {}
    for tensor in weights.spec.tensors:
        if tensor.axes[-1] == _FIRST and tensor.axes[0] != _FIRST:
            new[tensor.name] = weights.tensor(tensor).clone()
            new[tensor.name][:, :, -1] += 1
    return Pair(weights, _with(weights, new), False)


def _with(weights: RNNWeights, new: dict[str, Tensor]) -> RNNWeights:
    """Return RNNs with some tensors replaced by others, each ``(B, ...)`` of as many numbers."""
    parts = weights.tensors() | new
    return RNNWeights(torch.cat([part.flatten(1) for part in parts.values()], 1), weights.spec)
