"""``.npy`` files read and written piece by piece, byte for byte; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from wsrl.zoos.disk_tensors import DiskTensor
from wsrl.zoos.manifest import ZooError

Array: TypeAlias = NDArray[Any]

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8")
"""Those that an int64 holds."""
FLOATS = ("f2", "f4", "f8")

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class Expected:
    """What a file is to hold: its axes, and the dtypes that can be read without loss."""

    axes: tuple[str, ...]
    dtypes: tuple[str, ...]

    def __str__(self) -> str:
        return f"axes ({', '.join(self.axes)}) of one of {', '.join(self.dtypes)}"


@dataclass(frozen=True)
class NpyFile:
    """An ``.npy`` file on the disk.

    Attributes:
        path: where it is.
        header: all bytes before the numbers, as latin-1 text.
        dtype: of the numbers.
        shape: of the array.
        fortran_order: whether the first axis runs fastest.
    """

    path: Path
    header: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool

    @classmethod
    def open(cls, path: Path, expected: Expected) -> NpyFile:
        """Read a file's header and check it.

        Raises:
            OSError: for one that cannot be read.
            ZooError: for a file that is missing, damaged, or not as expected.
        """
        if not path.is_file():
            raise ZooError(f"{path} is missing: expected an .npy file with {expected}")
        try:
            with path.open("rb") as file:
                header, dtype, shape, fortran_order = _read_header(file)
        except OSError:
            raise
        except Exception as error:  # a header is Python source to numpy: it can fail in any way
            # No cause: a header that is nested too deeply is a MemoryError, but no lack of memory.
            raise ZooError(
                f"{path} is damaged or no .npy file ({str(error)[:500]}): expected {expected}"
            ) from None
        found = cls(path, header, dtype, shape, fortran_order)
        found._check(expected)
        return found

    def map(self) -> Array:
        """Return the array as a fresh memory map; what is written to it stays in memory."""
        return _map(self.path, "c", self.header, self.dtype, self.shape, self.fortran_order)

    def rows(self, start: int, stop: int) -> Array:
        """Return a copy of some rows; no memory map of the file is left behind.

        Raises:
            ZooError: where the file was cut short since.
        """
        if self.fortran_order:
            return np.array(self.map()[start:stop])
        stop = min(stop, self.shape[0])
        numbers = np.empty((stop - start, *self.shape[1:]), self.dtype)
        target = numbers.reshape(-1).view(np.uint8).data
        with self.path.open("rb") as file:
            file.seek(len(self.header) + start * self.dtype.itemsize * prod(self.shape[1:]))
            if file.readinto(target) != len(target):
                raise ZooError(f"{self.path} is damaged: it was cut short while it was read")
        return numbers

    def tensor(self, dtype: torch.dtype) -> Tensor | DiskTensor:
        """Return the array as a tensor of a dtype, which stays on the disk where it can."""
        if self.fortran_order:  # its rows lie scattered over the file
            wanted = torch.empty(0, dtype=dtype).numpy().dtype
            return torch.from_numpy(self.rows(0, self.shape[0]).astype(wanted))
        return DiskTensor.of(self.path, len(self.header), self.dtype, self.shape, dtype)

    def _check(self, expected: Expected) -> None:
        kind = self.dtype.str[1:]
        if self.dtype.hasobject:
            raise ZooError(
                f"{self.path} holds Python objects, which are never unpickled: expected {expected}"
            )
        if kind not in expected.dtypes or len(self.shape) != len(expected.axes):
            raise ZooError(f"{self.path} holds {self.shape} of {kind}: expected {expected}")
        size = self.path.stat().st_size
        wanted = len(self.header) + self.dtype.itemsize * prod(self.shape)
        if size != wanted:
            raise ZooError(
                f"{self.path} is damaged: it has {size} bytes, for {self.shape} of {kind} it "
                f"must have {wanted}"
            )
        if min(self.shape) < 1:
            raise ZooError(f"{self.path} is empty: it holds {self.shape}, expected {expected}")


class NpyWriter:
    """Writes an ``.npy`` file piece by piece along its first axis.

    Args:
        path: where; created.
        header: all bytes before the numbers, as latin-1 text.
    """

    def __init__(self, path: Path, header: str) -> None:
        raw = header.encode("latin-1")
        _, self._dtype, self._shape, self._fortran = _read_header(BytesIO(raw))
        self._path, self._header, self._done = path, header, 0
        path.write_bytes(raw)
        if self._fortran:  # every piece is spread over the file: it must have its size first
            with path.open("r+b") as file:
                file.truncate(len(raw) + self._dtype.itemsize * prod(self._shape))

    def write(self, rows: Array) -> None:
        """Append rows ``(n, ...)``; their values must fit the dtype."""
        stop = self._done + len(rows)
        if self._fortran:
            _map(self._path, "r+", self._header, self._dtype, self._shape, True)[
                self._done : stop
            ] = rows
        else:  # plain writing, where a full disk is an error and not a crash
            with self._path.open("ab") as file:
                file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
        self._done = stop


def check_header(header: object, shape: Sequence[int], dtypes: Sequence[str], name: str) -> None:
    """Check a header that is to be written in front of an array.

    Args:
        header: as ``NpyFile`` has it.
        shape: of the array.
        dtypes: those that the array may be written as.
        name: of the file, for the message.

    Raises:
        ZooError: for one of another array, or no header.
    """
    try:
        raw = str(header).encode("latin-1")
        text, dtype, found, _ = _read_header(BytesIO(raw))
        sound = found == tuple(shape) and dtype.str[1:] in dtypes and len(text) == len(raw)
    except Exception as error:  # as where one is read from a file
        raise ZooError(f"the header of {name}.npy in the manifest is none: {error}") from error
    if not sound:
        raise ZooError(
            f"the header of {name}.npy in the manifest is of {found} {dtype}, but to be written "
            f"are {tuple(shape)} of one of {', '.join(dtypes)}"
        )


def header_of(dtype: np.dtype[Any], shape: Sequence[int]) -> str:
    """Return the bytes that ``numpy.save`` writes before the numbers, as latin-1 text."""
    file = BytesIO()
    content = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    npy.write_array_header_1_0(file, content)
    return file.getvalue().decode("latin-1")


def _read_header(file: BinaryIO | BytesIO) -> tuple[str, np.dtype[Any], tuple[int, ...], bool]:
    version = npy.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"an .npy file of version {version}")
    shape, fortran_order, dtype = _READERS[version](file)
    length = file.tell()
    file.seek(0)
    return file.read(length).decode("latin-1"), dtype, shape, fortran_order


def _map(
    path: Path,
    mode: Any,
    header: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    fortran_order: bool,
) -> Array:
    order: Any = "F" if fortran_order else "C"
    return np.memmap(path, dtype, mode, len(header), shape, order)
