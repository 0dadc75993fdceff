"""Tensors of a recurrent part, and of what is before and after it, put together as weights."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wsrl.rnn.cells import BELOW, Cell, get_cell
from wsrl.rnn.formats.content import listed
from wsrl.rnn.spec import RNNSpec, initial_name, layer_name, readout_name
from wsrl.rnn.weights import RNNWeights


class Affine(NamedTuple):
    """A linear layer.

    Attributes:
        weight: ``(out, in)``.
        bias: ``(out,)``, if there is one.
    """

    weight: Tensor
    bias: Tensor | None = None


def assemble(
    cell: str,
    layers: Sequence[Mapping[str, Tensor]],
    readout: Sequence[Affine],
    *,
    input_layer: Affine | None = None,
    first_state: Mapping[str, Tensor] | None = None,
    readout_activation: str = "none",
    keys: Mapping[str, str] | None = None,
) -> RNNWeights:
    """Make the weights of one RNN, ``(1, N)``, from its parts.

    Biases that are missing are zero where others are there. An input layer that is as wide as the
    inputs or wider is multiplied into the cell, and so are layers of a readout without a
    nonlinearity between them: the same function, by fewer numbers. Half precision becomes float32.

    Args:
        cell: a registered cell.
        layers: of each layer the cell's tensors by name, ``weight_ih`` and so on.
        readout: its layers, the last of which gives the outputs.
        input_layer: a layer before the cell; of an embedding, its table transposed.
        first_state: of each part of the state a tensor ``(L, H)``; zero where it is missing.
        readout_activation: between the layers of the readout.
        keys: names in the file of the tensors, by those that the spec has, for messages.

    Raises:
        ValueError: where sizes do not fit, or tensors are no floating point numbers.

    >>> layers = [{"weight_ih": torch.zeros(4, 3), "weight_hh": torch.eye(4)}]
    >>> print(assemble("relu", layers, [Affine(torch.ones(2, 4))]).spec)
    relu 1x4, 3 inputs, 2 outputs, no biases
    """
    kind = get_cell(cell)
    own = [dict(layer) for layer in layers]
    if input_layer is not None and _folds(kind, input_layer):
        own[0] = _with_input_layer(kind, own[0], input_layer)
        input_layer = None
    if readout_activation == "none":
        readout = [_product(readout)]
    optional = biases(kind)
    bias = any(part.bias is not None for part in readout) or any(optional & {*one} for one in own)
    values = {layer_name(n, k): value for k, one in enumerate(own) for n, value in one.items()}
    for k, part in enumerate(readout):
        values |= _named(part, readout_name("weight", k), readout_name("bias", k))
    if input_layer is not None:
        values |= _named(input_layer, "input.weight", "input.bias")
    for name, value in (first_state or {}).items():
        values |= {initial_name(name, k): value[k] for k in range(len(own))}
    if other := [n for n, value in values.items() if not value.is_floating_point()]:
        raise ValueError(f"weights must be floating point numbers: {_called(other, keys)}")
    shapes = {name: tuple(value.shape) for name, value in own[0].items()}
    if (sizes := kind.sizes(shapes, bias=False)) is None:
        found = ", ".join(f"{_called([layer_name(n, 0)], keys)} is {s}" for n, s in shapes.items())
        raise ValueError(f"such shapes are of no cell: {found}")
    widths = tuple(part.weight.shape[0] for part in readout)
    spec = RNNSpec(
        cell,
        sizes[0] if input_layer is None else input_layer.weight.shape[1],
        sizes[1],
        len(own),
        widths[-1],
        bias,
        input_width=0 if input_layer is None else input_layer.weight.shape[0],
        input_bias=input_layer is not None and input_layer.bias is not None,
        readout_widths=widths[:-1],
        initial_state=bool(first_state),
        **({"readout_activation": readout_activation} if len(widths) > 1 else {}),
    )
    return RNNWeights(_flat(spec, values, keys)[None], spec)


def biases(kind: Cell) -> set[str]:
    """Return the names of a cell's biases."""
    return {t.name for t in kind.tensors(bias=True)} - {t.name for t in kind.tensors(bias=False)}


def _folds(kind: Cell, layer: Affine) -> bool:
    rows, columns = layer.weight.shape
    return rows >= columns and (layer.bias is None or "bias_ih" in biases(kind))


def _with_input_layer(
    kind: Cell, tensors: Mapping[str, Tensor], layer: Affine
) -> dict[str, Tensor]:
    """Return the tensors of a cell that reads what the layer reads."""
    reading = [tensor.name for tensor in kind.tensors(bias=False) if tensor.axes[-1] == BELOW]
    for name in reading:
        if tensors[name].shape[1] != layer.weight.shape[0]:
            raise ValueError(
                f"the layer before the cell gives {layer.weight.shape[0]} values, which reads "
                f"{tensors[name].shape[1]}"
            )
    folded = {name: _wide(tensors[name]) @ _wide(layer.weight) for name in reading}
    if layer.bias is not None:
        shift = _wide(tensors["weight_ih"]) @ _wide(layer.bias)
        folded["bias_ih"] = shift + _wide(tensors["bias_ih"]) if "bias_ih" in tensors else shift
    return {**tensors, **folded}


def _product(readout: Sequence[Affine]) -> Affine:
    """Return one layer that does what several do."""
    product = readout[0]
    for weight, bias in readout[1:]:
        shift = bias
        if product.bias is not None:
            shift = _wide(weight) @ _wide(product.bias)
            shift = shift if bias is None else shift + _wide(bias)
        product = Affine(_wide(weight) @ _wide(product.weight), shift)
    return product


def _named(layer: Affine, weight: str, bias: str) -> dict[str, Tensor]:
    return {weight: layer.weight} | ({} if layer.bias is None else {bias: layer.bias})


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _flat(spec: RNNSpec, values: Mapping[str, Tensor], keys: Mapping[str, str] | None) -> Tensor:
    """Return the flat vector; tensors that are missing are biases or first states of zero."""
    wrong = [t for t in spec.tensors if t.name in values and values[t.name].shape != t.shape]
    if wrong:
        found = "; ".join(
            f"{_called([t.name], keys)} is {tuple(values[t.name].shape)}, not {t.shape}"
            for t in wrong[:8]
        )
        raise ValueError(f"shapes do not fit one RNN ({spec}): {found}")
    parts = [
        _wide(values[t.name].detach().reshape(-1)) if t.name in values else torch.zeros(t.numel)
        for t in spec.tensors
    ]
    return torch.cat(parts)


def _called(names: Sequence[str], keys: Mapping[str, str] | None) -> str:
    return listed((keys or {}).get(name, name) for name in names)
