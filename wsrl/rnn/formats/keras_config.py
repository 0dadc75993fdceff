"""Keras' configuration of a model, as a list of its layers in order. No object is made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wsrl.rnn.formats.content import listed

_DEFAULTS = {
    "return_state": False,
    "go_backwards": False,
    "time_major": False,
    "zero_output_for_mask": False,
}


@dataclass(frozen=True)
class LayerConfig:
    """One layer of a model.

    Attributes:
        kind: class of the layer: ``LSTM``.
        name: the user's, under which its weights are stored.
        options: arguments of its constructor.
    """

    kind: str
    name: str
    options: Mapping[str, Any]

    def activation(self, option: str = "activation", default: str = "linear") -> str:
        """Return the name of a nonlinearity; ``ValueError`` where it is none of Keras' own."""
        found = self.options.get(option, default)
        if found is None:
            return "linear"
        if not isinstance(found, str):
            raise ValueError(f"{self.name} has an activation of its own: {str(found)[:80]}")
        return found


def layer_configs(model: Any) -> list[LayerConfig]:
    """Return the layers of a model that is one chain, from the input to the output.

    Raises:
        ValueError: for other models, and for layers that read the future or from the end.

    >>> layers = [{"class_name": "LSTM", "config": {"name": "mine", "units": 8}}]
    >>> layer_configs({"class_name": "Sequential", "config": {"layers": layers}})[0].name
    'mine'
    """
    try:
        config = model["config"]
        chain = config if isinstance(config, list) else config["layers"]
        layers = {_name(layer): layer for layer in chain}
        if "output_layers" in config:
            chain = [layers[name] for name in _chain(layers, _names(config["output_layers"]))]
        return [_layer(layer) for layer in chain]
    except (KeyError, TypeError, AttributeError) as error:
        kind = type(error).__name__
        raise ValueError(f"its configuration is none of Keras' ({kind}: {error})") from error


def _name(layer: Any) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _layer(layer: Any) -> LayerConfig:
    kind, name, options = layer["class_name"], _name(layer), layer["config"]
    if kind == "Bidirectional":
        raise ValueError(f"{name} is bidirectional: its outputs depend on later inputs")
    inner = {"TimeDistributed": "layer", "RNN": "cell"}.get(kind)
    if inner is not None:
        if not isinstance(options[inner], Mapping):
            raise ValueError(f"{name} has several cells: use a recurrent layer for each")
        outer = {k: v for k, v in options.items() if k in _DEFAULTS}
        kind = options[inner]["class_name"].removesuffix("Cell")
        options = {**options[inner]["config"], **outer}
    odd = [option for option, usual in _DEFAULTS.items() if options.get(option, usual) != usual]
    if odd:
        raise ValueError(f"{name} has {', '.join(f'{o}={options[o]}' for o in odd)}, no plain RNN")
    return LayerConfig(kind, name, options)


def _chain(layers: Mapping[str, Any], outputs: list[str]) -> list[str]:
    """Return the names from input to output, where each layer reads the one before."""
    place, found = outputs, []
    while place:
        if len(place) > 1 or place[0] in found or place[0] not in layers:
            raise ValueError(f"the model is no chain of layers, at {listed(place)}")
        found.append(place[0])
        place = _names(layers[place[0]].get("inbound_nodes", []))
    return found[::-1]


def _names(nodes: Any) -> list[str]:
    """Return the layers that nodes name: ``[name, 0, 0]``, in Keras 3 as ``keras_history``."""
    return list(dict.fromkeys(_named(nodes)))


def _named(nodes: Any) -> Iterator[str]:
    if isinstance(nodes, Mapping):
        for value in nodes.values():
            yield from _named(value)
    elif isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and type(nodes[1]) is int:
            yield nodes[0]
        else:
            for value in nodes:
                yield from _named(value)
