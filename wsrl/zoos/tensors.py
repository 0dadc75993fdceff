"""Files of tensors: safetensors with plain values in their header; and tensors that stay on disk.

These are read by position, not through a memory map: of a file that is cut short while it is read a
map would end the process by a signal.
"""

import hashlib
import json
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from wsrl.problems.columns import DTYPES
from wsrl.safe_files import naming
from wsrl.strict_json import parse_json, to_json
from wsrl.zoos.files import write_atomically
from wsrl.zoos.manifest import ZooError

Index: TypeAlias = Tensor | tuple[Tensor, Tensor]

_STORED = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I16": "<i2", "I64": "<i8"}
"""NumPy's names of the dtypes that a column can have, by safetensors' names."""

_WORTH_A_CALL = 1 << 14
"""Bytes that are read in the time that one more call takes, or so."""

_OPEN = 128
"""Files that are open at one time; a process may have a thousand or so, a zoo more shards."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, memory-mapped; ``ZooError``: it is none."""
    with _safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a dict


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON that ``write_tensors`` put into a file's header; raises the same."""
    with _safetensors(path) as file:
        return parse_json(file.metadata()["wsrl"].encode())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically, with plain values in its header; make its folder."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(plain, {"wsrl": to_json(metadata)}))


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a file's content; the order of the tensors does not count."""
    result = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        result.update(memoryview(plain.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return result.hexdigest()


class DiskTensor:
    """A tensor in a file. Indexed by rows it is read, and gives what a tensor in memory would.

    It begins at the byte ``start``; its numbers, ``stored`` in the file as NumPy says it, are
    converted to ``dtype``. Another file that takes its place later is noticed.
    """

    def __init__(
        self, path: Path, start: int, stored: Any, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self.path, self.start, self.shape, self.dtype = path, start, shape, dtype
        self.stored, self._inode = np.dtype(stored), path.stat().st_ino

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Index) -> Tensor:
        """Read rows ``(n,)``, or of rows ``(n, 1)`` the parts ``(n, S)`` along the second axis.

        Raises:
            IndexError: for a row or a part that there is not.
            ZooError: where the file was cut short or replaced since.
        """
        if isinstance(where, Tensor):
            _check_index(where, self.shape[0])
            return self._gather(where, self.shape[1:])
        rows, picks = where
        _check_index(rows, self.shape[0])
        _check_index(picks, self.shape[1])
        if prod(self.shape[1:]) * self.stored.itemsize <= _WORTH_A_CALL * picks.shape[1]:
            return self[rows[:, 0]][torch.arange(len(rows))[:, None], picks]
        return self._gather(rows * self.shape[1] + picks, self.shape[2:])

    def _gather(self, blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Read blocks of one size by their positions; neighbours in one piece."""
        size = prod(shape) * self.stored.itemsize
        numbers = np.empty((*blocks.shape, *shape), self.stored)
        target = memoryview(numbers.reshape(-1).view(np.uint8).data)
        file = _opened(self.path, self._inode)
        for first, last, position in _pieces(blocks.numpy().reshape(-1)):
            part, offset = target[first * size : last * size], self.start + position * size
            with naming(self.path):
                while (count := os.preadv(file.number, [part], offset)) != len(part):
                    if count == 0:
                        raise ZooError(f"{self.path} is damaged: it was cut short while read")
                    part, offset = part[count:], offset + count
        wanted = torch.empty(0, dtype=self.dtype).numpy().dtype
        return torch.from_numpy(numbers.astype(wanted, copy=False))


def disk_tensors(path: Path) -> dict[str, DiskTensor]:
    """Return the tensors of a safetensors file that a column can be; raises as ``read_tensors``."""
    with _safetensors(path), path.open("rb") as file:  # the library checks header and size
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, about in header.items():
        if (kind := about["dtype"]) in _STORED:
            place = (8 + length + about["data_offsets"][0], _STORED[kind], tuple(about["shape"]))
            found[name] = DiskTensor(path, *place, DTYPES[kind])
    return found


@contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file; whatever its content raises, also in the body, is damage."""
    if not path.is_file():
        raise ZooError(f"{path} is no regular file")
    with path.open("rb"):  # what the system refuses says so in its own words
        pass
    try:
        with safe_open(path, "pt") as file:
            yield file
    except Exception as error:  # of dtypes that are not torch's, the library raises this and that
        raise ZooError(f"{path} is damaged: {error}") from error


class _OpenFile:
    """Closed when the last reference to it is gone."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.number)


@lru_cache(_OPEN)
def _opened(path: Path, inode: int) -> _OpenFile:
    """Open a file, or return the open one; a reader keeps it open while it reads."""
    file = _OpenFile(path)
    if os.fstat(file.number).st_ino != inode:
        raise ZooError(f"{path} is another file than the one that was opened: read the zoo anew")
    return file


def _check_index(index: Tensor, size: int) -> None:
    """Refuse to read beside the tensor, where other numbers are."""
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        raise IndexError(f"index {int(index.min())}..{int(index.max())} of {size}")


def _pieces(blocks: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Cut a list of positions where they do not ascend by one: start, end, and first position."""
    starts = np.flatnonzero(np.diff(blocks, prepend=-2) != 1)
    ends = [*starts[1:].tolist(), len(blocks)]
    return list(zip(starts.tolist(), ends, blocks[starts].tolist(), strict=False))
