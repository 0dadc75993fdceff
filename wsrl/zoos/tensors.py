"""Files of tensors: safetensors, with plain values in their header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from wsrl.strict_json import parse_json, to_json
from wsrl.zoos.files import write_atomically
from wsrl.zoos.manifest import ZooError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, memory-mapped.

    Raises:
        OSError: where it cannot be read.
        ZooError: for a file that is none.
    """
    with open_tensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a dict


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON that ``write_tensors`` put into a file's header.

    Raises:
        OSError: where it cannot be read.
        ZooError: for a file that has none.
    """
    with open_tensors(path) as file:
        return parse_json(file.metadata()["wsrl"].encode())


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file; whatever its content raises, also in the body, is damage.

    Raises:
        OSError: where it cannot be read.
        ZooError: for a file that is none.
    """
    if not path.is_file():
        raise ZooError(f"{path} is no regular file")
    with path.open("rb"):  # what the system refuses says so in its own words
        pass
    try:
        with safe_open(path, "pt") as file:
            yield file
    except Exception as error:  # of dtypes that are not torch's, the library raises this and that
        raise ZooError(f"{path} is damaged: {error}") from error


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a file's content; the order of the tensors does not count."""
    result = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        result.update(memoryview(plain.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return result.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically.

    Args:
        path: the file; its folder is made if need be.
        tensors: by name.
        metadata: plain values for its header.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(plain, {"wsrl": to_json(metadata)}))
