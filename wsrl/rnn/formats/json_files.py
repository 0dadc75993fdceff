"""JSON files with arrays as nested lists."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.formats.arrays import Contents
from wsrl.strict_json import read_json


def read_json_arrays(path: Path) -> Contents:
    """Read a JSON object: lists of numbers, nested in equal lengths, are tensors (float32)."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for name, value in read_json(path).items():
        try:
            if not isinstance(value, list) or not value:
                raise TypeError
            tensors[name] = torch.tensor(value, dtype=torch.float32)
        except (TypeError, ValueError):  # of no numbers, or of rows of several lengths
            settings[name] = value
    return tensors, settings
