"""TensorFlow checkpoints (``.index`` and ``.data-...``), read without TensorFlow.

The index is a sorted table in LevelDB's format: a footer that says where the block of blocks
lies; blocks of keys that share their beginnings; values that are protocol buffers (number of the
type, shape, file, offset and size of the data). The data are raw little-endian numbers.

Source: ``tensorflow/core/util/tensor_bundle`` and ``tensorflow/core/lib/io/format``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, from_bytes
from wsrl.safe_files import read_regular
from wsrl.strict_json import read_json

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 6: "int8", 9: "int64", 10: "bool"}
_DTYPES |= {14: "bfloat16", 19: "float16"}
_Fields: TypeAlias = dict[int, list[int | bytes]]


def read_checkpoint(path: Path) -> Contents:
    """Read a checkpoint, given any of its files, or their common name.

    Returns:
        The variables of numbers by name. ``hp.json`` in its folder, where the project
        ``gyyang/multitask`` keeps what the checkpoint does not say, is the settings.
    """
    prefix = re.sub(r"(\.index|\.meta|\.data-\d{5}-of-\d{5})$", "", str(path))
    entries = _table(read_regular(Path(f"{prefix}.index"), MOST_BYTES))
    if "" not in entries:
        raise ValueError("its index has no header")
    header = _message(entries.pop(""))
    if _number(header, 2):
        raise ValueError("its numbers are big-endian")
    shards, tensors = _number(header, 1), {}
    read: dict[int, bytes] = {}
    for name, value in entries.items():
        entry = _message(value)
        if (dtype := _DTYPES.get(_number(entry, 1))) is None or 7 in entry:
            continue  # a string, or a variable in slices
        shard, begin = _number(entry, 3), _number(entry, 4)
        if shard not in read:
            file = Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}")
            read[shard] = read_regular(file, MOST_BYTES)
        content = read[shard][begin : begin + _number(entry, 5)]
        tensors[name] = _tensor(content, dtype, entry, name)
    beside = Path(prefix).parent / "hp.json"
    return tensors, read_json(beside) if beside.is_file() else {}


def _tensor(content: bytes, dtype: str, entry: _Fields, name: str) -> Tensor:
    axes = [axis for part in entry.get(2, []) for axis in _message(_bytes(part)).get(2, [])]
    shape = tuple(_number(_message(_bytes(axis)), 1) for axis in axes)
    try:
        return from_bytes(content, dtype, shape)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _table(content: bytes) -> dict[str, bytes]:
    """Return the entries of a table by their keys."""
    footer = content[-_FOOTER:]
    if len(content) < _FOOTER or not footer.endswith(MAGIC):
        raise ValueError("no index of a TensorFlow checkpoint (format 2)")
    place = _varint(footer, _varint(footer, _varint(footer, 0)[1])[1])
    blocks = _block(content, place[0], _varint(footer, place[1])[0])
    found = {}
    for _, handle in blocks:
        offset, at = _varint(handle, 0)
        for key, value in _block(content, offset, _varint(handle, at)[0]):
            found[key.decode(errors="replace")] = value
    return found


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of one block; a key repeats the beginning of the one before."""
    block = content[offset : offset + size]
    if len(block) != size or size < 4 or content[offset + size : offset + size + 1] != b"\0":
        raise ValueError("a block of its index is cut off or compressed")
    restarts = int.from_bytes(block[-4:], "little")
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _message(content: bytes) -> _Fields:
    """Return the fields of a protocol buffer by number, each a list of numbers or bytes."""
    fields: _Fields = {}
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(content, at)
        else:
            length, at = _varint(content, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
            value, at = content[at : at + length], at + length
            if length < 0 or len(value) != length:
                raise ValueError("an entry of its index is damaged")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it, and where the next one begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte, at = content[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("its index is cut off")


def _number(fields: _Fields, field: int) -> int:
    value = fields.get(field, [0])[-1]
    return value if isinstance(value, int) else int.from_bytes(value, "little")


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("an entry of its index is damaged")
    return value
