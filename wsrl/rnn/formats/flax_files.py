"""Files of Flax: MessagePack, with arrays as an extension type."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, from_bytes
from wsrl.safe_files import read_regular

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3  # extension types of ``flax.serialization``


def read_msgpack(path: Path) -> Contents:
    """Read what ``flax.serialization.to_bytes`` wrote.

    Returns:
        The arrays by their paths, as ``params/cell/kernel``, and the other values likewise.
    """
    import msgpack

    def extension(code: int, data: bytes) -> Any:
        if code in (_ARRAY, _SCALAR):
            shape, dtype, content = msgpack.unpackb(data, raw=False)
            return from_bytes(content, dtype, tuple(shape))
        if code == _COMPLEX:
            return torch.tensor(complex(*msgpack.unpackb(data)))
        raise ValueError(f"an extension type {code}, which Flax does not have")

    tree = msgpack.unpackb(
        read_regular(path, MOST_BYTES), ext_hook=extension, raw=False, strict_map_key=False
    )
    if not isinstance(tree, dict):
        raise ValueError(f"a {type(tree).__name__}, where Flax has a dictionary")
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{place}/{key}".lstrip("/"), part) for key, part in value.items()]
        elif isinstance(value, Tensor):
            tensors[place] = value
        else:
            settings[place] = value
    return dict(sorted(tensors.items())), settings
