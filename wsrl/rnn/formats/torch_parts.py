"""The parts of a model, found by the keys of its state dict: recurrent, linear, first states."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile

import torch
from torch import Tensor

from wsrl.rnn.cells import BELOW, Cell
from wsrl.rnn.formats.content import listed, natural
from wsrl.rnn.formats.parts import Affine, folded
from wsrl.rnn.interface import MAX_LAYERS

_LOOPED = re.compile(r"(?P<prefix>(?:.*\.)?)(?P<name>(?:weight|bias)_[ih]h)", re.DOTALL)
"""The keys of ``nn.LSTMCell``, ``nn.GRUCell`` and ``nn.RNNCell``."""

_FIRST = re.compile(
    r"(?P<part>[hcsx])_?0|(?P<kind>h|c|hidden|cell|state)x?s?_?(init|0)\w*|"
    r"(initial|init|start|learned)_?(?P<of>h|c|hidden|cell|state)?x?s?(_\w+)?"
)
"""Names of learned first states."""


@dataclass(frozen=True)
class Recurrent:
    """A recurrent module, or several whose layers lie one above the other.

    Attributes:
        paths: of the modules.
        keys: in the file, by names as ``weight_ih_l0``.
        layers: their number.
        looped: whether it is made of cells that a loop of the owner's runs.
    """

    paths: tuple[str, ...]
    keys: dict[str, str]
    layers: int
    looped: bool = False

    @property
    def label(self) -> str:
        """The paths, to be shown and said."""
        return ", ".join(path or "." for path in self.paths)


def recurrent_modules(keys: Iterable[str], cells: Iterable[Cell]) -> list[Recurrent]:
    """Find the modules that have tensors of cells: of ``torch.nn``, or as a spec names them."""
    names = {tensor.name for cell in cells for tensor in cell.tensors(bias=True)} | {"weight_hr"}
    either = "|".join(map(re.escape, sorted(names)))
    pattern = re.compile(
        rf"(?P<prefix>(?:.*\.)?)(?P<name>(?:{either})_l(?P<layer>[0-9]{{1,4}}).*)", re.DOTALL
    )
    found: dict[str, Recurrent] = {}
    for key in keys:
        match = pattern.fullmatch(key)
        looped = None if match else _LOOPED.fullmatch(key)
        if (either_match := match or looped) is None:
            continue
        prefix, name = either_match["prefix"], either_match["name"]
        layer = int(match["layer"]) if match else 0
        if layer >= MAX_LAYERS:
            raise ValueError(f"an RNN has at most {MAX_LAYERS} layers: {listed([key])}")
        old = found.get(prefix, Recurrent((prefix.removesuffix("."),), {}, 0, match is None))
        added = old.keys | {name if match else f"{name}_l0": key}
        found[prefix] = Recurrent(old.paths, added, max(old.layers, layer + 1), old.looped)
    return sorted(found.values(), key=lambda one: natural(one.label))


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what can be tensors of first layers, by the names that cells give."""
    words = {key: key.rpartition(".")[2] for key in tensors if key.endswith("_l0")}
    return {name.removesuffix("_l0"): tuple(tensors[key].shape) for key, name in words.items()}


def joined(modules: Sequence[Recurrent]) -> Recurrent:
    """Return modules as layers of one, from the lowest to the highest."""
    keys, layers = {}, 0
    for module in modules:
        for name, key in module.keys.items():
            word, _, layer = name.rpartition("_l")
            number = re.match(r"\d+", layer)
            assert number is not None
            rest = layer[number.end() :]
            keys[f"{word}_l{layers + int(number[0])}{rest}"] = key
        layers += module.layers
    paths = tuple(path for module in modules for path in module.paths)
    return Recurrent(paths, keys, layers, all(module.looped for module in modules))


def with_lists_joined(
    modules: Sequence[Recurrent], tensors: Mapping[str, Tensor]
) -> list[Recurrent]:
    """Join modules of one list (``cells.0``, ``cells.1``) whose sizes chain."""

    def home(module: Recurrent) -> str:
        parent, _, last = module.paths[0].rpartition(".")
        return f"{parent}." if last.isdigit() else module.paths[0]

    result = []
    for _, group in groupby(sorted(modules, key=lambda m: natural(m.paths[0])), home):
        members = list(group)
        fits = len(members) > 1 and chains(members, tensors)
        result += [joined(members)] if fits else members
    return result


def chains(modules: Sequence[Recurrent], tensors: Mapping[str, Tensor]) -> bool:
    """Say whether each module could read the one before."""
    sizes = []
    for module in modules:
        pair = [tensors.get(module.keys.get(f"weight_{k}_l0", "")) for k in ("ih", "hh")]
        if any(value is None or value.ndim != 2 for value in pair):
            return False
        sizes.append([value.shape[1] for value in pair if value is not None])
    return all(here[1] == after[0] for here, after in pairwise(sizes))


def holders(paths: Sequence[str]) -> list[str]:
    """Return how keys begin in the parts of a model that hold all paths; the smallest first."""
    parents = zip(*(path.split(".")[:-1] for path in paths), strict=False)
    names = [level[0] for level in takewhile(lambda level: len({*level}) == 1, parents)]
    return [".".join([*names[:count], ""]) for count in range(len(names), -1, -1)]


def linear_layers(tensors: Mapping[str, Tensor]) -> dict[str, Affine]:
    """Return the linear layers, and embeddings, by their paths."""
    found = {}
    for key, value in tensors.items():
        path, _, name = key.rpartition(".")
        if name == "weight" and value.ndim == 2:
            bias = tensors.get(f"{path}.bias" if path else "bias")
            found[path] = value, bias if bias is None or bias.ndim == 1 else None
    return found


def keys_of(path: str, layer: Affine) -> dict[str, str]:
    """Return the keys of a linear layer, by ``weight`` and ``bias``."""
    parts = ("weight",) if layer[1] is None else ("weight", "bias")
    return {part: f"{path}.{part}" if path else part for part in parts}


def first_states(
    tensors: Mapping[str, Tensor], parts: tuple[str, ...], layers: int, size: int
) -> tuple[dict[str, Tensor], list[str]]:
    """Find learned first states by names and shapes.

    Returns:
        A tensor ``(L, H)`` for each part of the state that is there, and their keys.
    """
    found: dict[str, Tensor] = {}
    keys = []
    for part in parts:  # as a spec names them
        names = [f"initial.{part}_l{layer}" for layer in range(layers)]
        own = [key for name in names for key in tensors if f".{key}".endswith(f".{name}")]
        if len(own) == layers and all(tensors[key].numel() == size for key in own):
            found[part] = torch.stack([tensors[key].reshape(size) for key in own])
            keys += own
    for key, value in tensors.items():
        match = _FIRST.fullmatch(key.rpartition(".")[2].lower())
        wide = [length for length in value.shape if length != 1]
        fits = wide in ([size], [layers, size], [layers * size]) and value.numel() == layers * size
        if key in keys or match is None or not (fits or size == 1 == value.numel()):
            continue
        named = (match["part"] or match["kind"] or match["of"] or "h")[0]
        part = "c" if named == "c" and "c" in parts else parts[0]
        if part in found:
            return {}, []
        found[part] = value.reshape(layers, size)
        keys.append(key)
    return found, keys


def through_projections(
    layers: list[dict[str, Tensor]], projections: list[Tensor]
) -> list[dict[str, Tensor]]:
    """Return layers whose neurons are those before the projections ``(P, H)``."""
    if not projections:
        return layers
    if len(projections) != len(layers):
        raise ValueError("projections in some layers only")
    result = []
    for number, (layer, own) in enumerate(zip(layers, projections, strict=True)):
        turned = {"weight_hh": layer["weight_hh"] @ own}
        if number:
            turned["weight_ih"] = layer["weight_ih"] @ projections[number - 1]
        result.append(layer | turned)
    return result


def with_source(
    kind: Cell, layers: list[dict[str, Tensor]], source: Affine | None
) -> tuple[list[dict[str, Tensor]], Affine | None]:
    """Return the layers of the cell, and what is before them.

    A layer before the cell that is as wide as the inputs or wider is multiplied into the cell: the
    same function, by fewer numbers. A narrower one stays as it is.
    """
    if source is None:
        return layers, None
    weight, bias = source
    names = {tensor.name for tensor in kind.tensors(bias=True)}
    if weight.shape[0] < weight.shape[1] or (bias is not None and "bias_ih" not in names):
        return layers, (weight, bias)
    first, own = dict(layers[0]), bias
    for tensor in kind.tensors(bias=False):
        if tensor.axes[-1] == BELOW:
            first[tensor.name], own = folded((weight, bias), (first[tensor.name], None))
    if own is not None:
        first["bias_ih"] = own + first["bias_ih"] if "bias_ih" in first else own
    return [first, *layers[1:]], None
