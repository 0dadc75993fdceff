"""MATLAB files up to version 7, by SciPy."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from wsrl.rnn.formats.arrays import MOST_BYTES, Contents, opened, to_tensor
from wsrl.safe_files import read_regular


def read_mat(path: Path) -> Contents:
    """Read a ``.mat`` file of versions 4 to 7; that of 7.3 is HDF5, and refused.

    Returns:
        The arrays of numbers as MATLAB has them, at least matrices, and the strings. Cells,
        structures and functions are left out, and named under ``left_out``.
    """
    from scipy.io import loadmat, whosmat

    content = read_regular(path, MOST_BYTES)
    if content.startswith(b"MATLAB 7.3"):
        raise ValueError("a MATLAB file of version 7.3: save it with -v7")
    found = whosmat(opened(content))
    if sum(int(np.prod(shape, dtype=object)) for _, shape, _ in found) * 8 > MOST_BYTES:
        raise ValueError(f"its arrays claim more than {MOST_BYTES} bytes")
    tensors: dict[str, Tensor] = {}
    left_out: list[str] = []
    settings: dict[str, Any] = {"left_out": left_out}
    for name, value in loadmat(opened(content), mat_dtype=False).items():
        if name.startswith("__"):
            continue
        if value.dtype.kind == "U" and value.size == 1:
            settings[name] = str(value.item())
        elif (tensor := to_tensor(value)) is not None:
            tensors[name] = tensor
        else:
            left_out.append(name)
    return tensors, settings
