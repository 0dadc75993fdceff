"""Arrays from files of others as tensors: only numbers, and never more of them than are stored."""

import io
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from torch import Tensor

MOST_BYTES = 1 << 30
"""No file of weights is larger, nor unpacks to more."""

Contents: TypeAlias = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by their names in a file, and what else it says in plain values."""


def to_tensor(array: np.ndarray[Any, Any]) -> Tensor | None:
    """Copy an array of numbers of any byte order; ``None`` for an array of anything else."""
    if array.dtype.kind not in "biufc":
        return None
    native = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    try:
        return torch.from_numpy(native)
    except TypeError:  # such as long double
        return None


def from_bytes(content: bytes, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor of raw little-endian bytes; ``dtype`` as PyTorch and NumPy name it.

    Raises:
        ValueError: for another dtype, or where shape and bytes differ.

    >>> from_bytes(bytes([1, 0, 2, 0]), "int16", (2,))
    tensor([1, 2], dtype=torch.int16)
    """
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or kind.is_complex:
        raise ValueError(f"an array of {dtype!r}, which is no number that weights have")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{shape!r} is no shape")
    needed = kind.itemsize
    for size in shape:
        needed *= size
    if needed != len(content):
        raise ValueError(f"an array {dtype} {shape} has {needed} bytes, not {len(content)}")
    if not content:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(content), dtype=kind).reshape(shape)


def read_npy(file: BinaryIO, size: int) -> np.ndarray[Any, Any] | None:
    """Read one ``.npy`` block of a file that has ``size`` bytes from here on.

    Returns ``None``, and reads nothing, where it holds pickled objects.

    Raises:
        ValueError: where it is no such block, or says it has more numbers than are stored.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a NumPy block of version {version}, which is not known")
    first = version == (1, 0)
    header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        return None
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize > size:
        raise ValueError(f"an array {shape} of {dtype} in {size} bytes: the file is cut off")
    content = file.read(count * dtype.itemsize)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"the last array, {shape} of {dtype}, is cut off")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def opened(content: bytes) -> BinaryIO:
    """Return bytes as a file."""
    return io.BytesIO(content)
