"""The labels of a user's models, as a zoo holds them: run, step, task, performance, properties."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems.packed import property_column
from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.models import Models
from wsrl.zoos.packing.table import Table, check_known, match_rows, read_table
from wsrl.zoos.soundness import check_labels


@dataclass(frozen=True)
class Labels:
    """The labels of ``n`` models."""

    columns: dict[str, Tensor]  # run, step, task, performance and those of properties, (n, ...)
    runs: list[str]  # what the runs 0, 1, ... are called, where they are not whole numbers
    properties: list[dict[str, Any]]  # as in the settings of PackedRNNs
    performance: bool  # whether it is known


def make_labels(
    table: str | Path | Table | None,
    models: Models,
    say: Callable[[str], object],
    *,
    file_column: str,
    kinds: Mapping[str, Collection[str]],
    meanings: Mapping[str, str | None],
    task: Sequence[str],
    leave_out: Collection[str],
    separator: str | None,
    decimal: str | None,
) -> Labels:
    """Read a table of models, as ``pack_zoo`` says.

    ``kinds`` are the columns that are ``categorical``, ``real`` or ``angle``, ``meanings`` those of
    ``run``, ``step`` and ``performance``, where they are named.
    """
    names, known = models.names, dict[str, Column]()
    chosen = {**kinds, "task": task}
    if table is not None:
        named = {*chain(*chosen.values()), *filter(None, meanings.values())}
        rows = read_table(table, len(names), say, leave_out, named, separator, decimal)
        known = match_rows(rows, names, file_column, models.from_files)
    for meaning, given in meanings.items():
        check_known(meaning, [given] if given else [], known)
    own = {meaning: known.pop(given or meaning, None) for meaning, given in meanings.items()}
    for choice, wanted in chosen.items():
        check_known(choice, wanted, known)
    columns, properties = {}, []
    for name, column in known.items():
        columns[property_column(name)], found = read_property(column, kinds)
        properties.append({"name": name, **found})
        if len(found.get("classes", ())) in (1, len(names)) and name not in task:
            every = "the same class" if len(found["classes"]) == 1 else "a class of its own"
            say(f"column {name!r} gives every RNN {every}: nothing can be learned from it")
    run, step, performance = own["run"], own["step"], own["performance"]
    count = len(names)
    numbers, runs = run.run_numbers() if run else (range(count), list(names))
    columns["run"] = torch.tensor(numbers)
    columns["step"] = torch.tensor(step.whole_numbers() if step else [0] * count)
    known_performance = performance.reals() if performance else [torch.nan] * count
    columns["performance"] = torch.tensor(known_performance)
    if columns["performance"].isinf().any():
        raise ValueError("a performance is too large for float32")
    parts = [columns[property_column(name)] for name in task] or [columns["run"]]
    # Runs stay whole numbers where a float does not hold them exactly: no two are one task.
    exact = not task and columns["run"].max() > 1 << 53
    columns["task"] = torch.stack([part if exact else part.double() for part in parts], 1)
    check_labels("the table", columns)
    return Labels(columns, runs, properties, performance is not None)


def read_property(
    column: Column, kinds: Mapping[str, Collection[str]]
) -> tuple[Tensor, dict[str, Any]]:
    """Return a property's values ``(n,)``, and its description for ``PackedRNNs``."""
    chosen = [kind for kind, names in kinds.items() if column.name in names]
    if len(chosen) > 1:
        named = " and as ".join(chosen)
        raise ValueError(f"column {column.name!r} is named as {named}: choose one")
    if chosen == ["categorical"] or (not chosen and not column.is_real()):
        indices, labels = column.classes(as_written=bool(chosen))
        return torch.tensor(indices), {"kind": "classes", "classes": labels}
    values = torch.tensor(column.reals(strings=bool(chosen)), dtype=torch.float64)
    return values, {"kind": chosen[0] if chosen else "real"}
