"""Files of NumPy: ``.npz``, and arrays one after the other, as Equinox writes its leaves."""

import json
import zipfile
from pathlib import Path

from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, opened, read_npy, to_tensor
from wsrl.safe_files import read_regular

NPY = b"\x93NUMPY"


def read_npz(path: Path) -> Contents:
    """Read an ``.npz``; arrays that are pickles of objects are left out, and named.

    Returns:
        The tensors by their names, and ``{"left_out": [names]}``.
    """
    tensors, left_out = {}, []
    with zipfile.ZipFile(opened(read_regular(path, MOST_BYTES))) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES} bytes")
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as file:
                array = read_npy(file, entry.file_size)  # type: ignore[arg-type]  # IO[bytes]
            tensor = None if array is None else to_tensor(array)
            if tensor is None:
                left_out.append(name)
            else:
                tensors[name] = tensor
    return tensors, {"left_out": left_out}


def read_leaves(path: Path) -> Contents:
    """Read arrays one after the other, as ``equinox.tree_serialise_leaves`` writes them.

    Such files have no names: the tensors are ``leaf 0``, ``leaf 1``, ... A first line of JSON, as
    some people write it, is the settings.
    """
    content = read_regular(path, MOST_BYTES)
    line = content[: content.find(NPY)]
    said = json.loads(line) if line.strip() else {}
    file = opened(content[len(line) :])
    tensors: dict[str, Tensor] = {}
    while (left := len(content) - len(line) - file.tell()) > 0:
        name = f"leaf {len(tensors)}"
        array = read_npy(file, left)
        tensor = None if array is None else to_tensor(array)
        if tensor is None:
            raise ValueError(f"{name} is no array of numbers")
        tensors[name] = tensor
    return tensors, said if isinstance(said, dict) else {"said": said}
