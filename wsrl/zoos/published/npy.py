"""``.npy`` files, known by their headers; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from wsrl.zoos.manifest import ZooError

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8")
"""Those that an int64 holds."""
FLOATS = ("f2", "f4", "f8")

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """The bytes before the numbers, as latin-1 text, and what they say."""

    text: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def read(cls, file: BinaryIO) -> Header:
        """Read the header of an open file; it may raise anything, as Python source may."""
        shape, fortran_order, dtype = _READERS[npy.read_magic(file)](file)
        if fortran_order:
            raise ValueError("it is in Fortran order: save numpy.ascontiguousarray of it")
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are never unpickled")
        length = file.tell()
        file.seek(0)
        return cls(file.read(length).decode("latin-1"), dtype, shape)

    @classmethod
    def of(cls, dtype: np.dtype[Any], shape: Sequence[int]) -> Header:
        """Return the header that ``numpy.save`` writes."""
        file = BytesIO()
        about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
        npy.write_array_header_1_0(file, about)
        return cls(file.getvalue().decode("latin-1"), dtype, tuple(shape))

    @property
    def kind(self) -> str:
        """The dtype without its byte order."""
        return self.dtype.str[1:]


class Expected(NamedTuple):
    """Axes that a file has (``2: run, step`` is of that size), and dtypes read without loss."""

    axes: tuple[str, ...]
    dtypes: tuple[str, ...]

    def fits(self, header: Header) -> bool:
        """Say whether an array has these axes and one of these dtypes."""
        pairs = list(zip(self.axes, header.shape, strict=False))
        sizes = all(size == int(axis.split(":")[0]) for axis, size in pairs if axis[0].isdigit())
        return header.kind in self.dtypes and len(header.shape) == len(self.axes) and sizes

    def __str__(self) -> str:
        return f"axes ({', '.join(self.axes)}) of one of {', '.join(self.dtypes)}"


def read_header(path: Path, expected: Expected) -> Header:
    """Read a file's header and compare it with what is expected, and with the file's size."""
    if not path.is_file():
        raise ZooError(f"{path} is missing: expected an .npy file with {expected}")
    with path.open("rb") as file:
        try:
            header = Header.read(file)
        except Exception as error:
            # No cause: a header that is nested too deeply is a MemoryError, but no lack of memory.
            raise ZooError(
                f"{path} cannot be read as an .npy file ({str(error)[:500]}): expected {expected}"
            ) from None
    held = f"{header.shape} of {header.kind}"
    if not expected.fits(header) or min(header.shape) < 1:
        raise ZooError(f"{path} holds {held}: expected {expected}")
    wanted = len(header.text) + header.dtype.itemsize * prod(header.shape)
    if (size := path.stat().st_size) != wanted:
        raise ZooError(f"{path} is damaged: it has {size} bytes, for {held} it must have {wanted}")
    return header
