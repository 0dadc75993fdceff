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
    """What a file is to hold.

    Attributes:
        axes: their names; one that begins with a number, as ``2: run, step``, has that size.
        dtypes: those that can be read without loss.
    """

    axes: tuple[str, ...]
    dtypes: tuple[str, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """Say whether an array has these axes."""
        sizes = [int(axis.split(":")[0]) if axis[0].isdigit() else None for axis in self.axes]
        return len(sizes) == len(shape) and all(
            size in (None, found) for size, found in zip(sizes, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"axes ({', '.join(self.axes)}) of one of {', '.join(self.dtypes)}"


@dataclass(frozen=True)
class Header:
    """The bytes before the numbers, as latin-1 text, and what they say."""

    text: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool

    @classmethod
    def read(cls, file: BinaryIO | BytesIO) -> Header:
        """Read the header of an open file; it may raise anything, as Python source may."""
        version = npy.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"an .npy file of version {version}")
        shape, fortran_order, dtype = _READERS[version](file)
        length = file.tell()
        file.seek(0)
        return cls(file.read(length).decode("latin-1"), dtype, shape, fortran_order)

    @classmethod
    def of(cls, dtype: np.dtype[Any], shape: Sequence[int]) -> Header:
        """Return the header that ``numpy.save`` writes."""
        file = BytesIO()
        about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
        npy.write_array_header_1_0(file, about)
        return cls(file.getvalue().decode("latin-1"), dtype, tuple(shape), False)

    @property
    def kind(self) -> str:
        """The dtype without its byte order."""
        return self.dtype.str[1:]

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self.text) + self.dtype.itemsize * prod(self.shape)

    def map(self, path: Path, mode: Any) -> Array:
        """Return a fresh memory map of a file with this header."""
        order: Any = "F" if self.fortran_order else "C"
        return np.memmap(path, self.dtype, mode, len(self.text), self.shape, order)


@dataclass(frozen=True)
class NpyFile:
    """An ``.npy`` file on the disk."""

    path: Path
    header: Header

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
                header = Header.read(file)
        except OSError:
            raise
        except Exception as error:
            # No cause: a header that is nested too deeply is a MemoryError, but no lack of memory.
            raise ZooError(
                f"{path} is damaged or no .npy file ({str(error)[:500]}): expected {expected}"
            ) from None
        held = f"{header.shape} of {header.kind}"
        if header.dtype.hasobject:
            raise ZooError(
                f"{path} holds Python objects, which are never unpickled: expected {expected}"
            )
        if header.kind not in expected.dtypes or not expected.fits(header.shape):
            raise ZooError(f"{path} holds {held}: expected {expected}")
        if (size := path.stat().st_size) != header.file_bytes:
            raise ZooError(
                f"{path} is damaged: it has {size} bytes, for {held} it must have "
                f"{header.file_bytes}"
            )
        if min(header.shape) < 1:
            raise ZooError(f"{path} is empty: it holds {header.shape}, expected {expected}")
        return cls(path, header)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.header.shape

    def map(self) -> Array:
        """Return the array as a fresh memory map; what is written to it stays in memory."""
        return self.header.map(self.path, "c")

    def rows(self, start: int, stop: int) -> Array:
        """Return a copy of some rows; no memory map of the file is left behind.

        Raises:
            ZooError: where the file was cut short since.
        """
        if self.header.fortran_order:
            return np.array(self.map()[start:stop])
        stop, row = min(stop, self.shape[0]), prod(self.shape[1:])
        offset = len(self.header.text) + start * row * self.header.dtype.itemsize
        numbers = np.fromfile(self.path, self.header.dtype, (stop - start) * row, offset=offset)
        if len(numbers) < (stop - start) * row:
            raise ZooError(f"{self.path} is damaged: it was cut short while it was read")
        return numbers.reshape(stop - start, *self.shape[1:])

    def tensor(self, dtype: torch.dtype) -> Tensor | DiskTensor:
        """Return the array as a tensor of a dtype, which stays on the disk where it can."""
        if self.header.fortran_order:  # its rows lie scattered over the file
            wanted = torch.empty(0, dtype=dtype).numpy().dtype
            return torch.from_numpy(self.rows(0, self.shape[0]).astype(wanted))
        start, stored = len(self.header.text), self.header.dtype
        return DiskTensor.of(self.path, start, stored, self.shape, dtype)


class NpyWriter:
    """Writes an ``.npy`` file piece by piece along its first axis."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._header, self._done = path, header, 0
        path.write_bytes(header.text.encode("latin-1"))
        if header.fortran_order:  # every piece is spread over the file: it must have its size first
            with path.open("r+b") as file:
                file.truncate(header.file_bytes)

    def write(self, rows: Array) -> None:
        """Append rows ``(n, ...)``; their values must fit the dtype."""
        stop = self._done + len(rows)
        if self._header.fortran_order:
            self._header.map(self._path, "r+")[self._done : stop] = rows
        else:  # plain writing, where a full disk is an error and not a crash
            with self._path.open("ab") as file:
                file.write(np.ascontiguousarray(rows, self._header.dtype).tobytes())
        self._done = stop


def checked_header(text: object, shape: Sequence[int], dtypes: Sequence[str], name: str) -> Header:
    """Read a header, from a manifest, that is to be written in front of an array.

    Args:
        text: the header.
        shape: of the array.
        dtypes: those that the array may be written as.
        name: of the file, for the message.

    Raises:
        ZooError: for one of another array, or no header.
    """
    try:
        raw = str(text).encode("latin-1")
        header = Header.read(BytesIO(raw))
    except Exception as error:  # as where one is read from a file
        raise ZooError(f"the header of {name}.npy in the manifest is none: {error}") from error
    fits = header.shape == tuple(shape) and header.kind in dtypes
    if not fits or len(header.text) != len(raw):
        raise ZooError(
            f"the header of {name}.npy in the manifest is of {header.shape} {header.dtype}, but to "
            f"be written are {tuple(shape)} of one of {', '.join(dtypes)}"
        )
    return header
