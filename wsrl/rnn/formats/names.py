"""Tensors by their last names, under any prefix."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from torch import Tensor

from wsrl.rnn.formats.content import Content, listed
from wsrl.rnn.formats.parts import Affine

TENSORS_BY_NAME = frozenset({"safetensors", "npz", "memory"})
"""Containers into which people put tensors of every library."""

STATE_DICTS = TENSORS_BY_NAME | {"torch"}
"""Containers in which state dicts of PyTorch are found."""


def below(tensors: Mapping[str, Tensor], *names: str) -> dict[str, Tensor] | None:
    """Return the tensors under the one prefix that has all these names, without the prefix.

    ``None`` where there is no such prefix.

    >>> from torch import zeros
    >>> list(below({"net.rnn.w": zeros(1), "net.rnn.b": zeros(1), "w": zeros(1)}, "rnn.w"))
    ['rnn.w', 'rnn.b']
    """
    for key in tensors:
        if not key.endswith(names[0]) or key.removesuffix(names[0])[-1:] not in ("", ".", "/"):
            continue
        prefix = key.removesuffix(names[0])
        if all(f"{prefix}{name}" in tensors for name in names):
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return None


def with_slashes(content: Content) -> Content:
    """Return a content with slashes between the parts of names, where some write dots.

    >>> from torch import zeros
    >>> list(with_slashes(Content({"params.cell.kernel": zeros(1)}, {}, "npz")).tensors)
    ['params/cell/kernel']
    """
    if any("/" in name for name in content.tensors):
        return content
    named = {name.replace(".", "/"): value for name, value in content.tensors.items()}
    return replace(content, tensors=named)


def check_known(names: Collection[str], known: Collection[str]) -> None:
    """Refuse, by a ``ValueError`` that names them, tensors that are not known."""
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"it is not known what these are for: {listed(unknown)}. If they are no part of the "
            "RNN, ignore them (--ignore KEY)"
        )


def the_linear(tensors: Mapping[str, Tensor]) -> Affine:
    """Return the one ``nn.Linear`` that these tensors are; others are a ``ValueError``."""
    weights = [name for name in tensors if name.split(".")[-1] == "weight"]
    if len(weights) == 1 and tensors[weights[0]].ndim == 2:
        bias = f"{weights[0].removesuffix('weight')}bias"
        if tensors.keys() <= {weights[0], bias}:
            return tensors[weights[0]], tensors.get(bias)
    raise ValueError(f"expected one nn.Linear as the readout, not {listed(tensors)}")
