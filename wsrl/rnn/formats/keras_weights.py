"""Where Keras' HDF5 files keep the weights of layers: by number, or, in older files, by name."""

import re

from torch import Tensor

from wsrl.rnn.formats.content import Content, natural

_ORDER = ("kernel", "embeddings", "recurrent_kernel", "bias")
_KINDS = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}  # by the blocks of columns


def weights_by_layer(content: Content) -> dict[str, tuple[list[Tensor], str]]:
    """Return the weights of each layer in Keras' order, and its class as far as they tell it.

    Layers stand in the order of the names that Keras gives them. What the optimizer keeps is left
    out.
    """
    found: dict[str, dict[tuple[int, str], Tensor]] = {}
    groups: dict[str, str] = {}
    for path in sorted(content.tensors, key=natural):
        new = re.fullmatch(r"layers/([^/]+)/(?:.*/)?vars/(\d+)", path)
        old = re.fullmatch(r"(?:model_weights/)?([^/]+)/(?:.*/)?([a-z_]+)(?::0)?", path)
        if new:
            name = content.settings.get("names", {}).get(f"layers/{new[1]}/vars", new[1])
            groups[name], place = new[1], (int(new[2]), "")
        elif old and old[2] in _ORDER and old[1] != "optimizer_weights":
            name, place = old[1], (_ORDER.index(old[2]), "")
        else:
            continue
        if place in found.setdefault(name, {}):
            raise ValueError(f"{name} has several weights of one kind, as a model in a model has")
        found[name][place] = content.tensors[path]
    return {
        name: (arrays, _kind(groups.get(name, ""), arrays))
        for name, by_place in found.items()
        for arrays in [[by_place[place] for place in sorted(by_place)]]
    }


def _kind(group: str, arrays: list[Tensor]) -> str:
    """Return the class: Keras names groups after it; else shapes tell."""
    if group:
        word = re.sub(r"_\d+$", "", group).replace("_", "")
        return next((kind for kind in _KINDS.values() if kind.lower() == word), word.title())
    if len(arrays) > 1 and arrays[1].ndim == 2:
        rows, columns = arrays[1].shape
        return _KINDS.get(columns // max(rows, 1), "unknown")
    return "Dense"
