"""What ``wsrl test`` and ``wsrl baseline`` leave in a folder, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from wsrl.strict_json import numbers
from wsrl.zoos.tensors import read_metadata, read_tensors

LABELS = {"row", "run", "step", "performance", "task", "split"}


def found(folder: Path) -> tuple[dict[str, float], dict[str, dict[str, NDArray[Any]]]]:
    """Return the metrics, NaN where they are not defined, and the columns of every split."""
    columns = {name: t.numpy() for name, t in read_tensors(folder / "test.safetensors").items()}
    metadata = read_metadata(folder / "test.safetensors")
    told = json.loads((folder / "test.json").read_text())
    assert {name: metadata[name] for name in ("checkpoint", "zoo")} == {
        name: told[name] for name in ("checkpoint", "zoo")
    }
    splits = {
        split: {name: column[columns["split"] == index] for name, column in columns.items()}
        for index, split in enumerate(metadata["splits"])
    }
    return numbers(told["metrics"]), splits
