"""Files of ``torch.save``: a state dict, alone or in a training checkpoint."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsrl.rnn.formats.content import Container, Content, Head, listed
from wsrl.torch_files import HARMLESS, read_torch_file

# The number that begins files of PyTorch before 1.6, as a pickle has it.
_BEFORE_ZIP = bytes.fromhex("fc9c46f9206aa85019")

_OF_TRAINING = ("optim", "sched", "scaler", "callback", "loops")
"""What names of states begin with that a checkpoint keeps to go on with training."""


def content_of(saved: Any, kind: str) -> Content:
    """Return the tensors of the state dicts in what was saved, and the plain values beside them.

    Of one state dict the keys are as they are; of several, with the way to each before them.
    """
    if not isinstance(saved, Mapping):
        what = type(saved).__name__
        raise ValueError(f"expected a state dict, not a {what}: save model.state_dict()")
    found = dict(_state_dicts(saved, "", set()))
    if not found:
        raise ValueError(
            f"no state dict, which holds tensors by name: it has {listed(map(str, saved))}. Save "
            "model.state_dict()"
        )
    single = len(found) == 1
    tensors: dict[str, Tensor] = {}
    for way, tensors_there in found.items():
        before = "" if single or not way else f"{way}."
        tensors |= {f"{before}{name}": value for name, value in tensors_there.items()}
    if strange := [k for k, v in tensors.items() if v.is_meta or v.layout != torch.strided]:
        raise ValueError(f"weights must be dense tensors that hold numbers: {listed(strange)}")
    return Content(tensors, _plain(saved), kind)


def _state_dicts(
    content: Mapping[Any, Any], way: str, seen: set[int]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield dictionaries of tensors by the way to them; but those of optimizers and the like."""
    seen.add(id(content))  # dictionaries may hold themselves, or be in several places
    own = {str(k): v for k, v in content.items() if isinstance(v, Tensor) and isinstance(k, str)}
    nested = {k: v for k, v in content.items() if isinstance(v, Mapping) and isinstance(k, str)}
    below = [
        pair
        for name, inside in nested.items()
        if id(inside) not in seen
        and "param_groups" not in inside
        and not name.lower().startswith(_OF_TRAINING)
        for pair in _state_dicts(inside, f"{way}.{name}".removeprefix("."), seen)
    ]
    # Beside a state dict a number is a measure, such as a loss; in it, it could be a weight.
    counted = {k: v for k, v in own.items() if v.ndim} if below else own
    if any(value.ndim for value in counted.values()):
        yield way, counted
    yield from below


def _plain(value: Any, known: dict[int, Any] | None = None) -> Any:
    """Return plain values alone: no tensors but numbers, and dictionaries for namespaces."""
    known = {} if known is None else known
    if id(value) in known:  # or it could hold itself, or be in very many places
        return known[id(value)]
    known[id(value)] = None
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Tensor):
        plain = value.item() if value.ndim == 0 and not value.is_meta else None
    elif isinstance(value, Mapping | Namespace):
        parts = vars(value) if isinstance(value, Namespace) else value
        kept = {str(name): _plain(part, known) for name, part in parts.items()}
        plain = {name: part for name, part in kept.items() if part is not None}
    elif isinstance(value, list | tuple | set):
        plain = [_plain(part, known) for part in value]
    known[id(value)] = plain
    return plain


def _matches(head: Head) -> bool:
    in_zip = any(name.rpartition("/")[2] == "data.pkl" for name in head.members)
    return in_zip or _BEFORE_ZIP in head.start[:64]


def _read(path: Path) -> Content:
    saved = read_torch_file(path, "a state dict, or a checkpoint with one", allowed=HARMLESS)
    return content_of(saved, "torch")


TORCH = Container("torch", _matches, _read)
