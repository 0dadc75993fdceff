"""Pairs of RNNs made to differ in one respect, whether an encoder is to see it or not."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights, random_permutations
from wsrl.rnn.spec import hidden_axis

_CANDIDATE = {"lstm": 2, "gru": 2, "tanh": 0, "linear": 0}
"""The gate whose sum is what a neuron is to become."""
_GAIN = {"lstm": 8.0, "gru": 8.0, "tanh": 2.0, "linear": 1.0}
"""Weight by which a neuron passes on that the one before it is active, without loss."""
_STEEP = 200.0
_FIRST = hidden_axis(0)


class Pair(NamedTuple):
    """``B`` RNNs and as many others, one beside the other.

    Attributes:
        one: the first of each pair.
        other: the second.
        same_function: whether both compute the same on all inputs.
    """

    one: RNNWeights
    other: RNNWeights
    same_function: bool


def random_rnns(spec: RNNSpec, count: int, generator: torch.Generator) -> RNNWeights:
    """Draw RNNs with weights of standard deviation ``H ** -0.5``, in float64."""
    flat = torch.randn(count, spec.num_parameters, generator=generator, dtype=torch.float64)
    return RNNWeights(flat * spec.hidden_size**-0.5, spec)


def make_pairs(weights: RNNWeights, generator: torch.Generator) -> dict[str, Pair]:
    """Make a pair of each kind that the cell and sizes allow, by name.

    Args:
        weights: ``B`` RNNs on the CPU, of at least 3 hidden neurons.
        generator: draws permutations, and what is put in the place of weights.

    Raises:
        ValueError: for fewer hidden neurons.
    """
    spec = weights.spec
    if spec.hidden_size < 3:
        raise ValueError(f"pairs need at least 3 hidden neurons, not {spec.hidden_size}")
    orders = random_permutations(spec, len(weights), generator)
    moved = weights.permute(orders)
    recurrent = f"rnn.weight_hh_l{spec.num_layers - 1}"
    columns = orders[-1].argsort(1)[:, None, :]
    broken = moved.tensors()[recurrent].gather(2, columns.expand_as(moved.tensors()[recurrent]))
    pairs = {
        "neurons reordered": Pair(weights, moved, True),
        "one coupling left out": Pair(weights, _with(moved, {recurrent: broken}), False),
        "an unused neuron wired otherwise": unused_neuron(weights, generator),
        "one weight changed": _one_weight(weights),
        "entries of one tensor shuffled": _shuffled(weights, generator),
        "inputs permuted": _inputs_rolled(weights),
        f"differ after {spec.hidden_size - 1} steps alone": late_difference(weights),
    }
    if spec.bias:
        pairs["biases split otherwise"] = split_biases(weights, generator)
    if spec.bias and spec.cell == "lstm":
        pairs["differ on rare inputs alone"] = rare_difference(weights)
    return pairs


def split_biases(weights: RNNWeights, generator: torch.Generator) -> Pair:
    """Add to one of the two biases what is taken from the other, where a cell adds both up.

    A GRU's candidate does not: the reset gate acts on the recurrent bias alone.
    """
    spec, tensors = weights.spec, weights.tensors()
    summed = (spec.gates - (spec.cell == "gru")) * spec.hidden_size
    new: dict[str, Tensor] = {}
    for layer in range(spec.num_layers):
        one, other = (f"rnn.bias_{kind}_l{layer}" for kind in ("ih", "hh"))
        shift = torch.zeros_like(tensors[one])
        drawn = torch.randn(len(weights), summed, generator=generator, dtype=torch.float64)
        shift[:, :summed] = drawn.to(shift)
        new |= {one: tensors[one] + shift, other: tensors[other] - shift}
    return Pair(weights, _with(weights, new), True)


def unused_neuron(weights: RNNWeights, generator: torch.Generator) -> Pair:
    """Let nothing read the first neuron of the first layer; draw what it reads anew."""
    parts: list[dict[str, Tensor]] = [{}, {}]
    for tensor in weights.spec.tensors:
        if _FIRST not in tensor.axes:
            continue
        value = weights.gated(tensor)
        drawn = torch.randn(value[:, :, 0].shape, generator=generator, dtype=torch.float64)
        for number, new in enumerate(parts):
            changed = value.clone()
            if tensor.axes[0] == _FIRST and number:
                changed[:, :, 0] = drawn.to(changed)
            if tensor.axes[-1] == _FIRST and len(tensor.axes) == 2:
                changed[..., 0] = 0
            new[tensor.name] = changed.flatten(1, 2)
    return Pair(_with(weights, parts[0]), _with(weights, parts[1]), True)


def late_difference(weights: RNNWeights) -> Pair:
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
        value[:, _CANDIDATE[spec.cell], 1:] = 0
        if tensor.axes[-1] == _FIRST and len(tensor.axes) == 2:
            chain = value[:, _CANDIDATE[spec.cell]]
            chain.diagonal(-1, 1, 2).fill_(_GAIN[spec.cell])
        new[tensor.name] = value.flatten(1, 2)
    return _read_otherwise(_with(weights, new))


def rare_difference(weights: RNNWeights) -> Pair:
    """Make LSTMs that differ only after inputs whose first value is near 1.

    The last neuron of the first layer takes something in (its input gate) only then; below 0.8 what
    comes through is less than 1e-8. The two RNNs differ in what it does to its reader.
    """
    tensors = weights.tensors()
    last = weights.spec.hidden_size - 1
    new = {}
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        value = tensors[f"rnn.{kind}_l0"].unflatten(1, (4, -1)).clone()  # gates i, f, g, o
        value[:, (0, 2), last] = 0
        new[f"rnn.{kind}_l0"] = value
    new["rnn.weight_ih_l0"][:, 0, last, 0] = _STEEP
    new["rnn.bias_ih_l0"][:, 0, last] = -0.9 * _STEEP
    new["rnn.bias_ih_l0"][:, 2, last] = 1
    return _read_otherwise(_with(weights, {n: value.flatten(1, 2) for n, value in new.items()}))


def _read_otherwise(weights: RNNWeights) -> Pair:
    """Change what the last neuron of the first layer does to what reads the layer."""
    spec = weights.spec
    name = "linear.weight" if spec.num_layers == 1 else "rnn.weight_ih_l1"
    value = weights.tensors()[name].clone()
    value[:, :, -1] += 1
    return Pair(weights, _with(weights, {name: value}), False)


def _one_weight(weights: RNNWeights) -> Pair:
    flat = weights.flat.clone()
    flat[:, 0] += 0.1
    return Pair(weights, RNNWeights(flat, weights.spec), False)


def _shuffled(weights: RNNWeights, generator: torch.Generator) -> Pair:
    """Shuffle the entries of the last layer's recurrent weights: their statistics stay."""
    name = f"rnn.weight_hh_l{weights.spec.num_layers - 1}"
    value = weights.tensors()[name]
    entries = torch.randperm(value[0].numel(), generator=generator)
    shuffled = value.flatten(1)[:, entries].view_as(value)
    return Pair(weights, _with(weights, {name: shuffled}), False)


def _inputs_rolled(weights: RNNWeights) -> Pair:
    """Have every input play the part of the next."""
    rolled = weights.tensors()["rnn.weight_ih_l0"].roll(1, 2)
    return Pair(weights, _with(weights, {"rnn.weight_ih_l0": rolled}), False)


def _with(weights: RNNWeights, new: dict[str, Tensor]) -> RNNWeights:
    """Return RNNs with some tensors replaced by others, each ``(B, *shape)``."""
    parts = weights.tensors() | new
    return RNNWeights(torch.cat([part.flatten(1) for part in parts.values()], 1), weights.spec)
