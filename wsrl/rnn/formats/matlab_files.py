"""MATLAB files of versions 5 to 7: arrays of numbers, and strings.

SciPy reads them, too, but its reader crashes on damaged ones, and Python with it.

Source: "MAT-File Format" of MathWorks, chapter 1 (level 5).
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, to_tensor
from wsrl.safe_files import read_regular

_HEADER, _TAG, _IS_COMPLEX = 128, 8, 0x0800
_MATRIX, _COMPRESSED, _CHAR = 14, 15, 4
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_TYPES |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # the last three are text
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8", _CHAR: "u4"}


class _Element(NamedTuple):
    kind: int
    content: bytes


def read_mat(path: Path) -> Contents:
    """Read a ``.mat`` file; that of version 7.3 is HDF5, and refused.

    Returns:
        The arrays of numbers as MATLAB has them, at least matrices, and the strings. Cells,
        structures, functions, sparse and complex arrays are left out, and named under
        ``left_out``.
    """
    content = read_regular(path, MOST_BYTES)
    if content.startswith(b"MATLAB 7.3"):
        raise ValueError("a MATLAB file of version 7.3: save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("no MATLAB file of version 5 or later")
    tensors: dict[str, Tensor] = {}
    left_out: list[str] = []
    settings: dict[str, Any] = {"left_out": left_out}
    left = MOST_BYTES
    for element in _elements(content[_HEADER:], order):
        if element.kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(element.content, left)
            left -= len(unpacked)
            (element,) = _elements(unpacked, order)
        if element.kind == _MATRIX:
            name, value = _matrix(element.content, order)
            if isinstance(value, str):
                settings[name] = value
            elif value is not None and (tensor := to_tensor(value)) is not None:
                tensors[name] = tensor
            else:
                left_out.append(name)
    return tensors, settings


def _matrix(content: bytes, order: str) -> tuple[str, np.ndarray[Any, Any] | str | None]:
    """Return the name of a variable, and its value if it is of numbers or of text."""
    flags, sizes, name, *values = _elements(content, order)
    word = int(_numbers(flags, order)[0])
    shape = tuple(int(size) for size in _numbers(sizes, order))
    called, kind = name.content.decode(errors="replace"), word & 0xFF
    if kind not in _CLASSES or word & _IS_COMPLEX or len(values) != 1:
        return called, None
    array = _numbers(values[0], order)
    if kind == _CHAR:
        return called, "".join(map(chr, array.tolist()))
    return called, array.astype(_CLASSES[kind]).reshape(shape, order="F")


def _numbers(element: _Element, order: str) -> np.ndarray[Any, Any]:
    if element.kind not in _TYPES:
        raise ValueError(f"numbers of type {element.kind}, which MATLAB does not have")
    return np.frombuffer(element.content, f"{order}{_TYPES[element.kind]}")


def _elements(content: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements in a row; a short one has its content in its tag."""
    at = 0
    while at < len(content):
        kind, size = (int(n) for n in np.frombuffer(content[at : at + _TAG], f"{order}u4"))
        start = at + _TAG
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + _TAG // 2
        if start + size > len(content):
            raise ValueError("it is cut off or damaged")
        yield _Element(kind, content[start : start + size])
        at = start + size
        if kind != _COMPRESSED:
            at += -at % _TAG
