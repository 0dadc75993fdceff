"""Which row of a table is of which model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wsrl.validation import short
from wsrl.zoos.packing.columns import Column, some
from wsrl.zoos.packing.models import SUFFIXES

_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE)


def match_rows(
    table: Mapping[str, Column], names: Sequence[str], file_column: str, from_files: bool
) -> dict[str, Column]:
    """Put a table's rows into the order of the models, and return its other columns.

    Rows are matched by the column of names: the models' names, with or without suffix, or paths
    that end in them. A table without one, of models that are no files, has its rows in the models'
    order already.

    Raises:
        ValueError: where rows and models do not match one to one, naming those that do not.
    """
    others = [column for name, column in table.items() if name != file_column]
    order: Sequence[int] = range(len(names))
    if file_column in table:
        order = _order(table[file_column], names)
    elif from_files:
        raise ValueError(
            f"the table has no column {short(file_column)} that names the files; it has "
            f"{some(list(table), 20)}. Say which one does with file_column"
        )
    elif (count := len(others[0].entries) if others else 0) != len(names):
        raise ValueError(f"the table has {count} rows, but there are {len(names)} models")
    return {
        column.name: replace(column, entries=[column.entries[i] for i in order], models=names)
        for column in others
    }


def _order(column: Column, names: Sequence[str]) -> list[int]:
    """Return the row of every model."""
    written = [str(entry) for entry in column.entries]
    models = _find_models(written, names)
    counts = Counter(models)
    problems = {
        "rows of no model": [entry for entry, i in zip(written, models, strict=True) if i is None],
        "models without a row": [name for i, name in enumerate(names) if counts[i] == 0],
        "models with several rows": [name for i, name in enumerate(names) if counts[i] > 1],
    }
    if found := [f"{what}: {some(which)}" for what, which in problems.items() if which]:
        raise ValueError(
            f"the table's column {short(column.name)} does not match the models. {'. '.join(found)}"
        )
    row_of = {model: row for row, model in enumerate(models)}
    return [row_of[model] for model in range(len(names))]


def _find_models(written: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """Return the position of the model that each entry names: its whole name, or the end of it."""
    paths = [_as_path(name) for name in names]
    position: dict[str, int] = {}
    for keys in ([_SUFFIX.sub("", path) for path in paths], paths, names):
        counts = Counter(keys)
        position |= {key: row for row, key in enumerate(keys) if counts[key] == 1}
    found = []
    for entry in written:
        parts = _as_path(entry).split("/")
        ends = [entry, *("/".join(parts[start:]) for start in range(len(parts)))]
        found.append(next((position[end] for end in ends if end in position), None))
    return found


def _as_path(name: str) -> str:
    """Return a path as POSIX writes it, in the Unicode form that most tables have."""
    return unicodedata.normalize("NFC", name).replace("\\", "/")
