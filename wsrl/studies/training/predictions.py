"""What evaluations leave in files: columns of snapshots and metrics.

A number that is not defined, such as an unknown performance, or not finite, such as a prediction of
a model that diverged, is NaN or infinite in the columns. JSON has no such numbers: a metric of that
kind is ``null``.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from wsrl.strict_json import to_json
from wsrl.studies.embeddings import write_embeddings
from wsrl.tasks.base import COLUMNS
from wsrl.terminal import note
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.store import Zoo
from wsrl.zoos.tensors import write_tensors


def write_predictions(
    path: Path,
    results: Sequence[Any],
    splits: Sequence[str],
    source: Mapping[str, Any],
    zoo: Zoo | None = None,
    target: str | None = None,
) -> int:
    """Write the batches of all splits, ordered as in the zoo; return how many snapshots there are.

    Args:
        path: the file.
        results: for every split, the batches' dictionaries of tensors ``(B, ...)``.
        splits: the splits' names; the column ``split`` holds indices into them.
        source: what the metadata says beside them.
        zoo: given, all that it knows of the RNNs is written, too (``write_embeddings``); else the
            batches alone, as safetensors.
        target: what is predicted, if anything.
    """
    if not any(results):
        raise ValueError(
            f"nothing to write to {path}: no RNN was read; raise --trainer.limit_predict_batches"
        )
    remove_leftovers(path.parent, path.name)
    tensors = _gather(results)
    if "embedding" in tensors and not bool(tensors["embedding"].isfinite().all(-1).any()):
        raise ValueError(  # single RNNs may have none
            f"{source['checkpoint']} gives no finite embedding, as of a model whose training "
            "diverged; nothing is written"
        )
    if zoo is None:
        write_tensors(path, tensors, {**source, "splits": list(splits)})
    else:
        write_embeddings(path, tensors, splits, source, zoo, target)
    return len(tensors["row"])


def _gather(results: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Join batches of several splits into columns ``(n, ...)`` in the order of ``row``.

    A row that is in several splits (``split_by: nothing``) is there once for each.
    """
    batches = [
        {**batch, "split": torch.full((len(batch["row"]),), split)}
        for split, part in enumerate(results)
        for batch in part
    ]
    columns = {name: torch.cat([batch[name].cpu() for batch in batches]) for name in batches[0]}
    order = columns["row"].argsort(stable=True)
    small = (torch.bfloat16, torch.float16)  # the first of which NumPy does not have
    return {n: (c.float() if c.dtype in small else c)[order] for n, c in columns.items()}


class ColumnKeeper(Callback):
    """Keeps the columns that test steps return."""

    def __init__(self) -> None:
        self._batches: dict[int, list[Mapping[str, Tensor]]] = {}

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, split: int = 0
    ) -> None:
        """Keep those of a batch; other packages' tasks may return none."""
        columns = outputs.get(COLUMNS) if isinstance(outputs, Mapping) else None
        if columns is not None and len(columns["row"]):
            self._batches.setdefault(split, []).append(columns)

    def write(
        self, path: Path, splits: Sequence[str], source: Mapping[str, Any], processes: int
    ) -> None:
        """Write them as ``write_predictions`` does; of several ``processes``, none has seen all."""
        path.with_suffix(".json").unlink(missing_ok=True)  # written last, of the same test
        if self._batches and processes == 1:
            batches = [self._batches.get(index, []) for index in range(len(splits))]
            write_predictions(path, batches, splits, source)
            return
        path.unlink(missing_ok=True)
        if self._batches:
            note([f"no {path.name}, which one process writes: pass --trainer.devices 1"])


def write_metrics(path: Path, source: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Write metrics by name, and what they are of, as JSON; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = to_json({**source, "metrics": metrics}, indent=2) + "\n"
    write_atomically(path, found.encode())
    lost = [name for name, value in metrics.items() if not math.isfinite(value)]
    if lost:
        note([f"null in {path.name}, since not defined or not finite: {', '.join(lost)}"])
