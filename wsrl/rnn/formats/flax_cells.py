"""Flax: ``LSTMCell``, ``OptimizedLSTMCell``, ``GRUCell``, ``SimpleCell`` and ``Dense``.

Modules go by the names of their leaves, as users name the modules as they like. Kernels are
``(from, to)``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said, listed, natural
from wsrl.rnn.formats.names import TENSORS_BY_NAME, with_slashes
from wsrl.rnn.formats.parts import Affine
from wsrl.rnn.formats.placement import NAMES, Placement, placements

Leaves: TypeAlias = Mapping[str, Tensor]
"""Tensors of one module by the last names of their paths."""

_RESIDUAL = "Flax's SimpleCell with residual=False, its default"


def modules_of(content: Content, depth: int) -> dict[str, dict[str, Tensor]]:
    """Return the tensors by module, where the last ``depth`` names of a path are in the module."""
    found: dict[str, dict[str, Tensor]] = {}
    for path, tensor in content.tensors.items():
        parts = path.split("/")
        place, leaf = "/".join(parts[:-depth]), "/".join(parts[-depth:])
        found.setdefault(place, {})[leaf] = tensor
    return {place: found[place] for place in sorted(found, key=natural)}


def linear_layers(modules: Mapping[str, Leaves]) -> dict[str, Affine]:
    """Return what each ``Dense``, or ``Embed`` of one-hot vectors, computes.

    Raises:
        ValueError: naming the tensors of modules that are neither.
    """
    found: dict[str, Affine] = {}
    unknown = []
    for place, leaves in modules.items():
        matrix = leaves.get("kernel", leaves.get("embedding"))
        if matrix is None or matrix.ndim != 2 or len(leaves.keys() - {"bias"}) != 1:
            unknown += [f"{place}/{leaf}".lstrip("/") for leaf in leaves]
        else:
            found[place] = matrix.mT, leaves.get("bias")
    if unknown:
        raise ValueError(f"it is not known what these are for: {listed(unknown)}")
    return found


def _lstm(leaves: Leaves) -> dict[str, Tensor]:
    return _gated(leaves, "ifgo")


def _gru(leaves: Leaves) -> dict[str, Tensor]:
    return _gated(leaves, "rzn")


def _gated(leaves: Leaves, gates: str) -> dict[str, Tensor]:
    """Stack gates in the order of torch; a gate without a bias has one of zeros."""
    found = {}
    for side, end in (("i", "ih"), ("h", "hh")):
        kernels = [leaves[f"{side}{gate}/kernel"].mT for gate in gates]
        given = [leaves.get(f"{side}{gate}/bias") for gate in gates]
        found[f"weight_{end}"] = torch.cat(kernels)
        if any(bias is not None for bias in given):
            filled = [
                kernel.new_zeros(kernel.shape[0]) if bias is None else bias
                for kernel, bias in zip(kernels, given, strict=True)
            ]
            found[f"bias_{end}"] = torch.cat(filled)
    return found


def _simple(leaves: Leaves) -> dict[str, Tensor]:
    found = {"weight_ih": leaves["i/kernel"].mT, "weight_hh": leaves["h/kernel"].mT}
    return found | {f"bias_{k}h": leaves[f"{k}/bias"] for k in "ih" if f"{k}/bias" in leaves}


_GATES: tuple[tuple[str, str, Callable[[Leaves], dict[str, Tensor]]], ...] = (
    ("lstm", "ifgo", _lstm),
    ("gru", "rzn", _gru),
)


def _kind(leaves: Leaves) -> tuple[str, Callable[[Leaves], dict[str, Tensor]]] | None:
    """Return which cell a module with these leaves is; an empty name for ``SimpleCell``."""
    kernels = {leaf for leaf in leaves if leaf.endswith("/kernel")}
    for cell, gates, convert in _GATES:
        if kernels == {f"{side}{gate}/kernel" for side in "ih" for gate in gates}:
            return cell, convert
    return ("", _simple) if kernels == {"i/kernel", "h/kernel"} else None


def _find(content: Content, said: Said) -> list[Candidate] | str:
    content = with_slashes(content)
    kinds = {place: _kind(leaves) for place, leaves in modules_of(content, 2).items()}
    cells = {place: kind for place, kind in kinds.items() if kind is not None}
    if not cells:
        return f"no cell of Flax that is known here among {listed(content.tensors)}"
    others = {
        place: leaves
        for place, leaves in modules_of(content, 1).items()
        if place.rpartition("/")[0] not in cells
    }
    if len({name for name, _ in cells.values()}) > 1:
        raise ValueError(f"cells of several kinds: {listed(cells)}")
    named = modules_of(content, 2)
    layers = [convert(named[place]) for place, (_, convert) in cells.items()]
    inputs, outputs = layers[0]["weight_ih"].shape[1], layers[-1]["weight_hh"].shape[1]
    found: list[Candidate] = []
    cell = next(iter(cells.values()))[0]
    for place in placements(linear_layers(others), inputs, outputs):
        if cell:
            found.append(place.candidate(cell, layers, ("gates by their names",)))
            continue
        for name in ("tanh", "relu", "softplus", "linear"):
            found += _simples(name, layers, place)
    return found


def _simples(name: str, layers: list[dict[str, Tensor]], place: Placement) -> list[Candidate]:
    """Return an Elman RNN with and without ``residual``, which adds ``h`` to the sums."""
    added = [
        {**layer, "weight_hh": layer["weight_hh"] + torch.eye(len(layer["weight_hh"]))}
        for layer in layers
    ]
    plain, residual = ({"nonlinearity": name, "residual": said} for said in ("False", "True"))
    return [
        place.candidate(name, layers, (_RESIDUAL,), plain),
        replace(place, usual=False).candidate(name, added, (), residual),
    ]


FLAX_CELLS = Recogniser(
    "Flax",
    TENSORS_BY_NAME | {"flax"},
    {
        "nonlinearity": "of a SimpleCell: tanh, relu, softplus or linear",
        "residual": "whether a SimpleCell has residual=True",
        **NAMES,
    },
    _find,
)
