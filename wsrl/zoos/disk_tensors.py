"""Tensors that stay on the disk; rows of them are read when they are asked for.

They are read by position and not through a memory map: a file that is cut short while it is read
is an error then, where a map would end the process by a signal.
"""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems.base import DTYPES
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.tensors import open_tensors

Index: TypeAlias = Tensor | tuple[Tensor, Tensor]

_STORED = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I16": "<i2", "I64": "<i8"}
"""NumPy's names of the dtypes that a column can have, by safetensors' names."""

_WORTH_A_CALL = 1 << 14
"""Bytes that are read in the time that one more call takes, or so."""

_OPEN = 128
"""Files that are open at one time; a process may have a thousand or so, a zoo more shards."""


class _Handle:
    """An open file; closed when the last reference to it is gone."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.number)

    def identity(self) -> tuple[int, int]:
        """Return what no other file has."""
        found = os.fstat(self.number)
        return found.st_dev, found.st_ino


@dataclass(frozen=True)
class DiskTensor:
    """A tensor in a file. Indexed by rows it is read, and gives what a tensor in memory would.

    Attributes:
        path: the file.
        identity: of the file, so that another one in its place is noticed.
        start: of the tensor in the file, in bytes.
        stored: the dtype of its numbers in the file.
        shape: of all of it.
        dtype: to which the numbers are converted.
    """

    path: Path
    identity: tuple[int, int]
    start: int
    stored: np.dtype[Any]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(
        cls, path: Path, start: int, stored: Any, shape: tuple[int, ...], dtype: torch.dtype
    ) -> DiskTensor:
        """Describe a tensor of a file that is there.

        Raises:
            OSError: where the file cannot be read.
        """
        return cls(path, _Handle(path).identity(), start, np.dtype(stored), shape, dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Index) -> Tensor:
        """Read rows ``(n,)``, or of rows ``(n, 1)`` the parts ``(n, S)`` along the second axis.

        Raises:
            IndexError: for a row or a part that there is not.
            ZooError: where the file was cut short or replaced since.
            OSError: where the disk cannot be read.
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

    def read(self) -> Tensor:
        """Read all of it."""
        return self[torch.arange(len(self))]

    def _gather(self, blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Read blocks of one size by their positions; neighbours in one piece."""
        size = prod(shape) * self.stored.itemsize
        numbers = np.empty((*blocks.shape, *shape), self.stored)
        target = memoryview(numbers.reshape(-1).view(np.uint8).data)
        file = _opened(self.path, self.identity)
        try:
            for first, last, position in _pieces(blocks.numpy().reshape(-1)):
                part, offset = target[first * size : last * size], self.start + position * size
                while (count := os.preadv(file.number, [part], offset)) != len(part):
                    if count == 0:
                        raise ZooError(
                            f"{self.path} is damaged: it was cut short while it was read"
                        )
                    part, offset = part[count:], offset + count
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self.path)) from error
        wanted = torch.empty(0, dtype=self.dtype).numpy().dtype
        return torch.from_numpy(numbers.astype(wanted, copy=False))


def disk_tensors(path: Path) -> dict[str, DiskTensor]:
    """Return the tensors of a safetensors file, those that a column of a zoo can be.

    Raises:
        OSError: where it cannot be read.
        ZooError: for a file that is none.
    """
    with open_tensors(path), path.open("rb") as file:  # the library checks header and size
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: DiskTensor.of(
            path,
            8 + length + about["data_offsets"][0],
            _STORED[about["dtype"]],
            tuple(about["shape"]),
            DTYPES[about["dtype"]],
        )
        for name, about in header.items()
        if about["dtype"] in _STORED
    }


@lru_cache(_OPEN)
def _opened(path: Path, identity: tuple[int, int]) -> _Handle:
    """Open a file, or return the open one; a reader keeps it open while it reads."""
    handle = _Handle(path)
    if handle.identity() != identity:
        raise ZooError(f"{path} is another file than the one that was opened: read the zoo anew")
    return handle


def _check_index(index: Tensor, size: int) -> None:
    """Refuse to read beside the tensor, where other numbers are."""
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
        raise IndexError(f"index {int(index.min())}..{int(index.max())} of {size}")


def _pieces(blocks: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Cut a list of positions where they do not ascend by one: start, end, and first position."""
    cuts = np.flatnonzero(np.diff(blocks) != 1) + 1
    starts = np.concatenate([[0], cuts])
    ends = np.concatenate([cuts, [len(blocks)]])
    if not len(blocks):
        return []
    return list(zip(starts.tolist(), ends.tolist(), blocks[starts].tolist(), strict=True))
