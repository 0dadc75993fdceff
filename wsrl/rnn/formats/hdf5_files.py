"""HDF5 files, and the files of Keras, which are HDF5 or hold it."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, opened, to_tensor
from wsrl.safe_files import read_regular


def read_hdf5(path: Path) -> Contents:
    """Read an HDF5 file, such as Keras' ``.h5`` and ``.weights.h5``.

    Links to other files are not followed, and data that lie in others are refused.

    Returns:
        The data sets of numbers by their paths, and the file's configuration (the attribute
        ``model_config``) and names (attributes ``name`` by group), as Keras writes them.
    """
    return _read(read_regular(path, MOST_BYTES))


def read_keras(path: Path) -> Contents:
    """Read a ``.keras`` archive; see ``read_hdf5``. No class or function of it is made."""
    with zipfile.ZipFile(opened(read_regular(path, MOST_BYTES))) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES} bytes")
        tensors, settings = _read(archive.read("model.weights.h5"))
        return tensors, settings | {"model_config": json.loads(archive.read("config.json"))}


def _read(content: bytes) -> Contents:
    import h5py

    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    settings: dict[str, Any] = {"names": names}
    with h5py.File(opened(content), "r") as file:
        if "model_config" in file.attrs:
            settings["model_config"] = json.loads(file.attrs["model_config"])
        claimed = 0

        def visit(place: str, item: Any) -> None:
            nonlocal claimed
            if isinstance(name := item.attrs.get("name"), str):
                names[place] = name
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biufc":
                return
            if item.is_virtual or item.external:
                raise ValueError(f"the numbers of {place} lie in another file")
            claimed += item.nbytes
            if claimed > MOST_BYTES:
                raise ValueError(f"its arrays claim more than {MOST_BYTES} bytes")
            if item.shape is None:
                return
            if (tensor := to_tensor(np.asarray(item[()]))) is not None:
                tensors[place] = tensor

        file.visititems(visit)
    return tensors, settings
