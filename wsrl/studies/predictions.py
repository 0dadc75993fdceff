"""Write what ``predict_step`` returned as one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.zoos.tensors import write_tensors


def write_predictions(
    path: Path, results: Sequence[Any], splits: Sequence[str], source: Mapping[str, str]
) -> int:
    """Write the batches of all splits, ordered as in the zoo.

    Args:
        path: the file.
        results: for every split, the batches' dictionaries of tensors ``(B, ...)``.
        splits: the splits' names; the column ``split`` holds indices into them.
        source: what the metadata says beside them.

    Returns:
        How many snapshots were written.
    """
    tensors = gather(results)
    metadata = {**source, "splits": list(splits)}
    write_tensors(path, tensors, metadata)
    return len(tensors["row"])


def gather(results: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Join batches of several splits into columns ``(n, ...)`` in the order of ``row``."""
    batches = [(split, batch) for split, part in enumerate(results) for batch in part]
    columns = {
        name: torch.cat([batch[name].cpu() for _, batch in batches]) for name in batches[0][1]
    }
    columns["split"] = torch.cat(
        [torch.full((len(batch["row"]),), split) for split, batch in batches]
    )
    order = columns["row"].argsort()
    return {name: column[order] for name, column in columns.items()}
