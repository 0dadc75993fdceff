"""What a packed zoo says of its rows: run, step, task, performance and the user's properties."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems.packed import property_column
from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.models import Models
from wsrl.zoos.packing.table import Table, match_rows, read_table
from wsrl.zoos.packing.texts import some


@dataclass(frozen=True)
class LabelOptions:
    """Which columns of a table mean what; as the arguments of ``pack_zoo``."""

    file_column: str = "file"
    categorical: Collection[str] = ()
    run: str | None = None
    step: str | None = None
    performance: str | None = None
    task: Sequence[str] = ()


@dataclass(frozen=True)
class Labels:
    """The labels of ``n`` models.

    Attributes:
        columns: the zoo's columns ``run``, ``step``, ``task``, ``performance`` and those of the
            properties, ``(n, ...)`` each.
        runs: what the runs ``0, 1, ...`` are called, where they are not whole numbers.
        properties: as in the settings of ``PackedRNNs``.
        performance: whether it is known.
    """

    columns: dict[str, Tensor]
    runs: list[str]
    properties: list[dict[str, Any]]
    performance: bool


def make_labels(table: str | Path | Table | None, models: Models, options: LabelOptions) -> Labels:
    """Read a table of models.

    Raises:
        ValueError: naming the column and the row of what does not fit.
    """
    names = models.names
    known: dict[str, Column] = {}
    if table is not None:
        rows = read_table(table, len(names))
        known = match_rows(rows, names, options.file_column, models.from_files)
    special = {
        meaning: _special(known, meaning, getattr(options, meaning))
        for meaning in ("run", "step", "performance")
    }
    described = {
        name: replace(column, may_be_classes=True)
        for name, column in known.items()
        if name not in special.values()
    }
    _check_known("categorical", options.categorical, described)
    _check_known("task", options.task, described)
    columns, properties = _properties(described, options.categorical)
    columns["run"], runs = _runs(known, special["run"], names)
    step, performance = special["step"], special["performance"]
    count = len(names)
    columns["step"] = torch.zeros(count, dtype=torch.long)
    if step is not None:
        columns["step"] = torch.tensor(known[step].whole_numbers())
    columns["performance"] = torch.full((count,), torch.nan)
    if performance is not None:
        columns["performance"] = torch.tensor(known[performance].reals())
        if (large := columns["performance"].isinf()).any():
            raise ValueError(
                f"column {performance!r} holds a value for {names[int(large.nonzero()[0])]} that "
                "is too large for float32"
            )
    columns["task"] = _tasks(columns, options.task)
    _check_snapshots(columns, names, step)
    _check_tasks(columns, names, options.task)
    return Labels(columns, runs, properties, performance is not None)


def _special(known: Mapping[str, Any], meaning: str, given: str | None) -> str | None:
    """Return the column with a meaning: the one that is named, or the one of that very name."""
    if given is None:
        return meaning if meaning in known else None
    _check_known(meaning, [given], known)
    return given


def _check_known(meaning: str, given: Collection[str], known: Mapping[str, Any]) -> None:
    if isinstance(given, str):
        raise ValueError(f"{meaning} must be a list of columns, not {given!r}")
    if lost := [name for name in given if name not in known]:
        raise ValueError(
            f"{meaning}: the table has no such column {some(lost)}; it has "
            f"{some(list(known), 20) or 'none'}"
        )


def _properties(
    described: Mapping[str, Column], categorical: Collection[str]
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    columns, properties = {}, []
    for name, column in described.items():
        if name in categorical or not column.is_real():
            indices, labels = column.classes()
            columns[property_column(name)] = torch.tensor(indices)
            properties.append({"name": name, "kind": "classes", "classes": labels})
        else:
            real = torch.tensor(column.reals(), dtype=torch.float64)
            columns[property_column(name)] = real
            properties.append({"name": name, "kind": "real"})
    return columns, properties


def _tasks(columns: Mapping[str, Tensor], task: Sequence[str]) -> Tensor:
    """Return what makes up every model's task ``(n, K)``: properties, or its run.

    Runs stay whole numbers where a float does not hold them exactly: no two are one task.
    """
    parts = [columns[property_column(name)] for name in task] or [columns["run"]]
    if not task and columns["run"].max() > 1 << 53:
        return torch.stack(parts, 1)
    return torch.stack([part.double() for part in parts], 1)


def _runs(
    known: Mapping[str, Column], column: str | None, names: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Return the run of every model ``(n,)``, and the names of the runs where they have some."""
    if column is None:
        return torch.arange(len(names)), list(names)
    numbers, called = known[column].run_numbers()
    return torch.tensor(numbers), called


def _check_snapshots(columns: Mapping[str, Tensor], names: Sequence[str], step: str | None) -> None:
    seen: dict[tuple[int, int], str] = {}
    for run, at, name in zip(columns["run"].tolist(), columns["step"].tolist(), names, strict=True):
        if (run, at) in seen:
            hint = "" if step else "; say which column holds the step of a snapshot"
            raise ValueError(f"{seen[run, at]} and {name} are of one run at one step ({at}){hint}")
        seen[run, at] = name


def _check_tasks(
    columns: Mapping[str, Tensor], names: Sequence[str], task: Collection[str]
) -> None:
    """A run has one task: its snapshots must not be in two splits."""
    first: dict[int, int] = {}
    for row, run in enumerate(columns["run"].tolist()):
        other = first.setdefault(run, row)
        if not torch.equal(columns["task"][row], columns["task"][other]):
            raise ValueError(
                f"{names[other]} and {names[row]} are snapshots of one run, but differ in its "
                f"task ({', '.join(task)})"
            )
