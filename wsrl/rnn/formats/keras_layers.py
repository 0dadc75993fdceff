"""Keras: LSTM, GRU and SimpleRNN layers, with Dense and Embedding layers around them.

Matrices are ``(from, to)``. A ``.weights.h5`` has no configuration: what layers are, it says in
their names or shapes; activations it does not say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from wsrl.rnn.cells import list_cells
from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said, listed
from wsrl.rnn.formats.keras_config import LayerConfig, layer_configs
from wsrl.rnn.formats.keras_weights import weights_by_layer
from wsrl.rnn.formats.parts import Affine, Parts, blocks, folded, readout_of
from wsrl.rnn.formats.placement import NAMES, placements

_ZRH = (1, 0, 2)  # where torch's blocks r, z, n are among Keras' z, r, h
_ACTIVATIONS = {"linear": "none", "swish": "silu"}
_PASSED = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout")
_DEFAULTS = ("activations are Keras' defaults, as the file has no configuration",)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer.

    Attributes:
        config: what it is; without options where the file has no configuration.
        arrays: its weights in Keras' order: kernel, recurrent kernel, bias.
    """

    config: LayerConfig
    arrays: Sequence[Tensor] = field(default_factory=list)

    def affine(self) -> Affine:
        """Return what a Dense computes, or an Embedding of one-hot vectors."""
        weight, *bias = self.arrays
        return weight.mT, bias[0] if bias else None


Reading: TypeAlias = tuple[dict[str, str], str, list[dict[str, Tensor]]]
"""What is chosen, the cell, and its tensors in each layer."""


def _lstm(layers: Sequence[Layer]) -> Iterator[Reading]:
    _check_squashing(layers)
    yield {}, "lstm", [_matrices(layer.arrays, "bias_ih") for layer in layers]


def _gru(layers: Sequence[Layer]) -> Iterator[Reading]:
    """Read a GRU that resets after the product, with two biases, or before it, with one."""
    _check_squashing(layers)
    given = {layer.config.options.get("reset_after") for layer in layers}
    given |= {layer.arrays[2].ndim == 2 for layer in layers if len(layer.arrays) > 2}
    for after in (True, False):
        if given <= {None, after}:
            cell = "gru" if after else "gru_reset_before"
            tensors = [_gru_tensors(layer.arrays, after) for layer in layers]
            yield {"reset_after": str(after)}, cell, tensors


def _gru_tensors(arrays: Sequence[Tensor], after: bool) -> dict[str, Tensor]:
    found = {name: blocks(value, _ZRH) for name, value in _matrices(arrays[:2], "").items()}
    if len(arrays) < 3:
        return found
    biases = [blocks(bias, _ZRH) for bias in arrays[2].reshape(-1, arrays[2].shape[-1])]
    names = ("bias_ih", "bias_hh") if after else ("bias",)
    return found | dict(zip(names, biases, strict=True))


def _simple(layers: Sequence[Layer]) -> Iterator[Reading]:
    tensors = [_matrices(layer.arrays, "bias_ih") for layer in layers]
    said = {layer.config.activation(default="") for layer in layers if layer.config.options}
    if len(said) > 1:
        raise ValueError(f"SimpleRNN layers with several activations: {', '.join(sorted(said))}")
    for name in said or ("tanh", "relu", "softplus", "linear"):
        if name not in list_cells():
            raise ValueError(f"there is no cell for a SimpleRNN with activation {name!r}")
        yield {"nonlinearity": name}, name, tensors


_CELLS: Mapping[str, Callable[[Sequence[Layer]], Iterator[Reading]]] = {
    "LSTM": _lstm,
    "GRU": _gru,
    "SimpleRNN": _simple,
}


def _matrices(arrays: Sequence[Tensor], bias: str) -> dict[str, Tensor]:
    found = {"weight_ih": arrays[0].mT, "weight_hh": arrays[1].mT}
    return found | ({bias: arrays[2]} if len(arrays) > 2 else {})


def _check_squashing(layers: Sequence[Layer]) -> None:
    for option, usual in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        for layer in layers:
            if (found := layer.config.activation(option, usual)) != usual:
                name = layer.config.name
                raise ValueError(f"{name} has {option} {found}, not {usual}: no cell here does")


def _find(content: Content, said: Said) -> list[Candidate] | str:
    stored = weights_by_layer(content)
    if "model_config" in content.settings:
        configs = layer_configs(content.settings["model_config"])
        layers = [Layer(config, stored.get(config.name, ([], ""))[0]) for config in configs]
        layers = [layer for layer in layers if layer.config.kind not in _PASSED]
    else:
        known = [LayerConfig(kind, name, {}) for name, (_, kind) in stored.items()]
        layers = [Layer(config, stored[config.name][0]) for config in known]
    cells = [layer for layer in layers if layer.config.kind in _CELLS]
    if not cells:
        return f"no LSTM, GRU or SimpleRNN of Keras among {listed(content.tensors)}"
    if len({layer.config.kind for layer in cells}) > 1:
        raise ValueError(f"layers of several cells: {listed(one.config.name for one in cells)}")
    for layer in (*cells, *(one for one in layers if one.config.kind in ("Dense", "Embedding"))):
        if len(layer.arrays) < (2 if layer in cells else 1):
            raise ValueError(f"the file has no weights of the layer {layer.config.name}")
    readings = list(_CELLS[cells[0].config.kind](cells))
    if "model_config" in content.settings:
        return [Candidate(_whole(layers, cells, one).weights(), one[0]) for one in readings]
    linear = {one.config.name: one.affine() for one in layers if one not in cells}
    size = cells[-1].arrays[1].shape[0]
    return [
        place.candidate(cell, tensors, _DEFAULTS, choices)
        for place in placements(linear, cells[0].arrays[0].shape[0], size)
        for choices, cell, tensors in readings
    ]


def _whole(layers: Sequence[Layer], cells: Sequence[Layer], reading: Reading) -> Parts:
    """Return a model in parts; its layers before, between and after the cells are in order."""
    start, (_, cell, tensors) = layers.index(cells[0]), reading
    before, after = layers[:start], layers[start + len(cells) :]
    if [*layers[start : start + len(cells)]] != [*cells]:
        raise ValueError(f"between recurrent layers stand others than {', '.join(_PASSED)}")
    odd = [
        one.config.name
        for one in before
        if one.config.kind not in ("Dense", "Embedding") or one.config.activation() != "linear"
    ]
    if odd:
        raise ValueError(f"before the recurrent layers only linear ones are read: {listed(odd)}")
    source = folded(*(layer.affine() for layer in before)) if before else None
    readout, inner, final = readout_of([*_readout(after)])
    return Parts(cell, tensors, readout, source, (), inner, final)


def _readout(layers: Sequence[Layer]) -> Iterator[Affine | str]:
    """Yield linear layers and nonlinearities after the recurrent layers."""
    for layer in layers:
        kind, activation = layer.config.kind, layer.config.activation()
        if kind == "Dense":
            yield layer.affine()
        elif kind == "Softmax":
            activation = "softmax"
        elif kind != "Activation":
            name = layer.config.name
            raise ValueError(f"after the recurrent layers {name} is a {kind}, not a Dense")
        yield _ACTIVATIONS.get(activation, activation)


KERAS_LAYERS = Recogniser(
    "Keras",
    frozenset({"keras"}),
    {
        "nonlinearity": "of SimpleRNNs in a file without a configuration",
        "reset_after": "of GRUs without biases in a file without a configuration",
        **NAMES,
    },
    _find,
)
