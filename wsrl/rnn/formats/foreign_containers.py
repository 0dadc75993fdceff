"""Containers of other libraries: how each is told, and how errors of its library become one line.

The libraries are imported when a file needs them.
"""

import re
from collections.abc import Callable
from pathlib import Path

from wsrl.rnn.formats import tensorflow_files
from wsrl.rnn.formats.arrays import Contents
from wsrl.rnn.formats.content import Container, Content, Head
from wsrl.rnn.formats.flax_files import read_msgpack
from wsrl.rnn.formats.hdf5_files import read_hdf5, read_keras
from wsrl.rnn.formats.json_files import read_json_arrays
from wsrl.rnn.formats.matlab_files import read_mat
from wsrl.rnn.formats.numpy_files import NPY, read_leaves, read_npz
from wsrl.rnn.formats.onnx_files import read_onnx

_HDF5 = b"\x89HDF\r\n\x1a\n"
# A map of MessagePack that is not empty, and a key that is text.
_TEXT_MAP = re.compile(rb"([\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf\xd9]", re.DOTALL)
# The version of the format, and one of the fields that may follow it.
_ONNX = re.compile(rb"\x08[\x01-\x3f][\x12\x1a\x22\x28\x32\x3a\x42]", re.DOTALL)


def _container(
    kind: str, matches: Callable[[Head], bool], read: Callable[[Path], Contents]
) -> Container:
    def read_content(path: Path) -> Content:
        try:
            tensors, settings = read(path)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"files of {kind} are read with {error.name}, which is not installed: pip install "
                "'wsrl[files]'"
            ) from error
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # no fault of what the file holds
            line = (str(error).splitlines() or [""])[0][:200]
            said = line if type(error) is ValueError else f"{type(error).__name__}: {line}"
            raise ValueError(f"it cannot be read as a file of {kind}: {said}") from error
        left_out = settings.pop("left_out", [])
        notes = (f"not read, as they are no numbers: {', '.join(left_out)}",) if left_out else ()
        return Content(tensors, settings, kind, notes)

    return Container(kind, matches, read_content)


def _is_checkpoint(head: Head) -> bool:
    beside = re.sub(r"\.(meta|data-\d{5}-of-\d{5})$", ".index", str(head.path))
    if beside != str(head.path) and Path(beside).is_file():
        return True
    with head.path.open("rb") as file:
        file.seek(max(0, head.path.stat().st_size - len(tensorflow_files.MAGIC)))
        return file.read() == tensorflow_files.MAGIC


def _is_json(head: Head) -> bool:
    return head.start.lstrip()[:1] == b"{" and b"\0" not in head.start


FOREIGN_CONTAINERS = (
    _container("tensorflow", _is_checkpoint, tensorflow_files.read_checkpoint),
    _container("equinox", lambda head: NPY in head.start and not head.members, read_leaves),
    _container("json", _is_json, read_json_arrays),
    _container("keras", lambda head: "model.weights.h5" in head.members, read_keras),
    _container("keras", lambda head: head.start.startswith(_HDF5), read_hdf5),
    _container("matlab", lambda head: head.start.startswith(b"MATLAB "), read_mat),
    _container(
        "npz",
        lambda head: bool(head.members) and all(n.endswith(".npy") for n in head.members),
        read_npz,
    ),
    _container("flax", lambda head: bool(_TEXT_MAP.match(head.start)), read_msgpack),
    _container("onnx", lambda head: bool(_ONNX.match(head.start)), read_onnx),
)
"""In the order in which they are tried; before those of PyTorch."""
