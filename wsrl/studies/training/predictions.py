"""What evaluations leave in files: columns of snapshots and metrics.

A number that is not defined, such as an unknown performance, or not finite, such as a prediction of
a model that diverged, is NaN or infinite in the columns. JSON has no such numbers: a metric of that
kind is ``null``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning.pytorch import Callback
from torch import Tensor

from wsrl.data import ZooDataModule
from wsrl.strict_json import to_json
from wsrl.studies.embeddings import write_embeddings
from wsrl.tasks.base import COLUMNS
from wsrl.terminal import note
from wsrl.zoos import AnyZoo
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.tensors import write_tensors

Columns: TypeAlias = Mapping[str, Tensor]
BySpec: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""Metrics by split, spec and name."""


def keep_labelled(data: ZooDataModule, target: str) -> None:
    """Leave RNNs without a value of the target out of the data, and say how many."""
    if count := data.keep_labelled(target):
        note([f"{count} of the zoo's {len(data.zoo)} RNNs have no {target}, and are left out"])


def write_predictions(
    path: Path,
    results: Sequence[Any],
    splits: Sequence[str],
    source: Mapping[str, Any],
    zoo: AnyZoo,
    target: str | None = None,
    named: bool = True,
) -> int:
    """Write the batches of all splits, ordered as in the zoo; return how many snapshots there are.

    Without names, the column ``spec`` says which of the metadata's ``specs`` an RNN has.

    Args:
        path: the file.
        results: for every split, the batches' dictionaries of tensors ``(B, ...)``.
        splits: the splits' names; the column ``split`` holds indices into them.
        source: what the metadata says beside them.
        zoo: what the RNNs are from.
        target: what is predicted, if anything.
        named: write all that the zoo knows of the RNNs, too (``write_embeddings``), not the batches
            alone, as safetensors.
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
    if named:
        write_embeddings(path, tensors, splits, source, zoo, target)
    else:
        tensors["spec"] = spec_numbers(zoo, tensors["row"])
        about = {"splits": list(splits), "specs": [str(spec) for spec in zoo.specs]}
        write_tensors(path, tensors, {**source, **about})
    return len(tensors["row"])


def spec_numbers(zoo: AnyZoo, rows: Tensor) -> Tensor:
    """Return which of the zoo's specs the RNN of each row has, ``(n,)``."""
    order = {spec: number for number, spec in enumerate(zoo.specs)}
    return torch.tensor([order[spec] for spec in zoo.spec_of(rows)], dtype=torch.int64)


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


def measure_specs(
    results: Sequence[Sequence[Columns]],
    splits: Sequence[str],
    zoo: AnyZoo,
    measure: Callable[[Columns], dict[str, float]],
) -> BySpec:
    """Return metrics of the RNNs of each spec, where there are several; ``measure`` takes columns.

    Results and splits are those of ``write_predictions``.
    """
    found: BySpec = {}
    several = len(zoo.specs) > 1
    for split, batches in zip(splits, results, strict=True):
        if not batches or not several:
            continue
        columns = _gather([batches])
        numbers = spec_numbers(zoo, columns["row"])
        for number, spec in enumerate(zoo.specs):
            own = {name: column[numbers == number] for name, column in columns.items()}
            if len(own["row"]):
                found.setdefault(split, {})[str(spec)] = measure(own)
    return found


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

    def of_splits(self, splits: Sequence[str]) -> list[list[Columns]]:
        """Return the batches of every split."""
        return [self._batches.get(index, []) for index in range(len(splits))]

    def write(
        self,
        path: Path,
        splits: Sequence[str],
        source: Mapping[str, Any],
        zoo: AnyZoo,
        processes: int,
    ) -> None:
        """Write them as ``write_predictions`` does; of several ``processes``, none has seen all."""
        path.with_suffix(".json").unlink(missing_ok=True)  # written last, of the same test
        if self._batches and processes == 1:
            write_predictions(path, self.of_splits(splits), splits, source, zoo, named=False)
            return
        path.unlink(missing_ok=True)
        if self._batches:
            note([f"no {path.name}, which one process writes: pass --trainer.devices 1"])


def write_metrics(
    path: Path,
    source: Mapping[str, Any],
    metrics: Mapping[str, float],
    by_spec: BySpec | None = None,
) -> None:
    """Write metrics by name, and what they are of, as JSON; the folder is made if need be.

    ``by_spec`` are those of the RNNs of each spec, by split, where there are several.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"metrics_by_spec": by_spec} if by_spec else {}
    found = to_json({**source, "metrics": metrics, **more}, indent=2) + "\n"
    write_atomically(path, found.encode())
    lost = [name for name, value in metrics.items() if not math.isfinite(value)]
    if lost:
        note([f"null in {path.name}, since not defined or not finite: {', '.join(lost)}"])
