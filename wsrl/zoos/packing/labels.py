"""Labels of models: which run and step each is of, its task, its performance, its properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems.packed import property_column
from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.models import Models
from wsrl.zoos.packing.rows import match_rows
from wsrl.zoos.packing.table import Table, TableOptions, check_known, read_table


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


def make_labels(
    table: str | Path | Table | None,
    models: Models,
    options: TableOptions,
    say: Callable[[str], object],
) -> Labels:
    """Read a table of models.

    Args:
        table: the table, if there is one.
        models: whose it is.
        options: how to read it.
        say: told which columns are left out, and which tell nothing.

    Raises:
        ValueError: naming the column and the row of what does not fit.
    """
    names = models.names
    known: dict[str, Column] = {}
    if table is not None:
        rows = read_table(table, len(names), options, say)
        known = match_rows(rows, names, options.file_column, models.from_files)
    special = {
        meaning: _special(known, meaning, getattr(options, meaning))
        for meaning in ("run", "step", "performance")
    }
    described = {name: column for name, column in known.items() if name not in special.values()}
    for choice in ("categorical", "real", "angle", "task"):
        check_known(choice, getattr(options, choice), described)
    columns, properties = {}, []
    for name, column in described.items():
        values, found = _read_property(column, options, say)
        columns[property_column(name)] = values
        properties.append({"name": name, **found})
    run, step, performance = special["run"], special["step"], special["performance"]
    count = len(names)
    numbers, runs = known[run].run_numbers() if run else (range(count), list(names))
    columns["run"] = torch.tensor(numbers)
    columns["step"] = torch.tensor(known[step].whole_numbers() if step else [0] * count)
    columns["performance"] = torch.tensor(
        known[performance].reals() if performance else [torch.nan] * count
    )
    if (large := columns["performance"].isinf()).any():
        raise ValueError(
            f"column {performance!r} holds a value for {names[int(large.nonzero()[0])]} that "
            "is too large for float32"
        )
    columns["task"] = _tasks(columns, options.task)
    _check_snapshots(columns, names, step, options.task)
    return Labels(columns, runs, properties, performance is not None)


def _special(known: Mapping[str, Any], meaning: str, given: str | None) -> str | None:
    """Return the column with a meaning: the one that is named, or the one of that very name."""
    if given is None:
        return meaning if meaning in known else None
    check_known(meaning, [given], known)
    return given


def _read_property(
    column: Column, options: TableOptions, say: Callable[[str], object]
) -> tuple[Tensor, dict[str, Any]]:
    """Return a property's values ``(n,)``, and what ``PackedRNNs`` is told of it."""
    name = column.name
    kinds = [kind for kind in ("categorical", "real", "angle") if name in getattr(options, kind)]
    if len(kinds) > 1:
        raise ValueError(f"column {name!r} is named as {' and as '.join(kinds)}: choose one")
    if kinds == ["categorical"] or (not kinds and not column.is_real()):
        indices, labels = column.classes(as_written=bool(kinds))
        if len(labels) in (1, len(indices)) and name not in options.task:
            every = "the same class" if len(labels) == 1 else "a class of its own"
            say(f"column {name!r} gives every RNN {every}: nothing can be learned from it")
        return torch.tensor(indices), {"kind": "classes", "classes": labels}
    values = torch.tensor(column.reals(strings=bool(kinds)), dtype=torch.float64)
    return values, {"kind": kinds[0] if kinds else "real"}


def _tasks(columns: Mapping[str, Tensor], task: Sequence[str]) -> Tensor:
    """Return what makes up every model's task ``(n, K)``: properties, or its run.

    Runs stay whole numbers where a float does not hold them exactly: no two are one task.
    """
    parts = [columns[property_column(name)] for name in task] or [columns["run"]]
    if not task and columns["run"].max() > 1 << 53:
        return torch.stack(parts, 1)
    return torch.stack([part.double() for part in parts], 1)


def _check_snapshots(
    columns: Mapping[str, Tensor], names: Sequence[str], step: str | None, task: Sequence[str]
) -> None:
    """Check that a run has one snapshot a step, and one task: it must not be in two splits."""
    seen: dict[tuple[int, int], str] = {}
    first: dict[int, int] = {}
    runs, steps = columns["run"].tolist(), columns["step"].tolist()
    for row, (run, at) in enumerate(zip(runs, steps, strict=True)):
        if (run, at) in seen:
            hint = "" if step else "; say which column holds the step of a snapshot"
            raise ValueError(
                f"{seen[run, at]} and {names[row]} are of one run at one step ({at}){hint}"
            )
        seen[run, at] = names[row]
        other = first.setdefault(run, row)
        if not torch.equal(columns["task"][row], columns["task"][other]):
            raise ValueError(
                f"{names[other]} and {names[row]} are snapshots of one run, but differ in its "
                f"task ({', '.join(task)})"
            )
