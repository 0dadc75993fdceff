"""A user's table of what is known of every model."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

Table: TypeAlias = Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""

_MISSING = ("", "na", "n/a", "nan", "null", "none")
"""How a CSV file says among numbers that one is missing."""


def read_table(table: str | Path | Table, text: Collection[str] = ()) -> dict[str, list[Any]]:
    """Read a table: CSV, Parquet, or columns in memory.

    In a CSV file, a column whose entries are all numbers is numeric.

    Args:
        table: the path of a ``.csv`` or ``.parquet`` file, or the columns.
        text: columns of a CSV file that are left as they are written.

    Raises:
        ValueError: for a file that is no table, or columns of different lengths.
        ImportError: for a Parquet file where pyarrow is not installed.
    """
    if isinstance(table, Mapping):
        columns = {name: [_plain(value) for value in values] for name, values in table.items()}
    else:
        columns = _read_file(Path(table), text)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    return columns


def match_rows(
    table: Mapping[str, list[Any]], names: Sequence[str], file_column: str, from_files: bool
) -> dict[str, list[Any]]:
    """Put a table's rows into the order of the models.

    Rows are matched by the column of names. A table without one, of models that are no files, has
    its rows in the models' order already.

    Returns:
        The other columns.

    Raises:
        ValueError: where rows and models do not match one to one, naming those that do not.
    """
    others = {name: values for name, values in table.items() if name != file_column}
    if file_column not in table:
        count = len(next(iter(table.values()), []))
        if from_files:
            raise ValueError(
                f"the table has no column {file_column!r} that names the files; it has "
                f"{', '.join(table)}. Say which one does with file_column"
            )
        if count != len(names):
            raise ValueError(f"the table has {count} rows, but there are {len(names)} models")
        return others
    keys = [str(value) for value in table[file_column]]
    rows_of, models = Counter(keys), set(names)
    problems = {
        "rows of no model": [key for key in rows_of if key not in models],
        "models without a row": [name for name in names if rows_of[name] == 0],
        "models with several rows": [name for name in names if rows_of[name] > 1],
    }
    found = [f"{what}: {_some(which)}" for what, which in problems.items() if which]
    if found:
        raise ValueError(
            f"the table's column {file_column!r} does not match the models. {'. '.join(found)}"
        )
    row_of = {key: row for row, key in enumerate(keys)}
    return {column: [values[row_of[name]] for name in names] for column, values in others.items()}


def check_complete(column: str, values: Sequence[Any], names: Sequence[str]) -> None:
    """Check that every model has a value.

    Raises:
        ValueError: naming the column and the first model without.
    """
    for value, name in zip(values, names, strict=True):
        if value is None or value == "" or value != value:  # NaN alone is not itself
            missing = sum(other is None or other == "" or other != other for other in values)
            raise ValueError(
                f"column {column!r} has no value for {name} (and {missing - 1} others): fill it, "
                "or leave the column or these models out"
            )


def is_numeric(values: Iterable[Any]) -> bool:
    """Whether all values are numbers (``True`` and ``False`` are none)."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def numbers(column: str, values: Sequence[Any], names: Sequence[str]) -> list[float]:
    """Return a column's values as numbers.

    Raises:
        ValueError: for values that are missing, no numbers, or not finite.
    """
    check_complete(column, values, names)
    if not is_numeric(values):
        raise ValueError(f"column {column!r} must hold numbers alone")
    result = [float(value) for value in values]
    for value, name in zip(result, names, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"column {column!r} holds {value} for {name}, which is not finite")
    return result


def whole_numbers(column: str, values: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return a column's values as whole numbers of at least 0.

    Raises:
        ValueError: for other values.
    """
    result = numbers(column, values, names)
    if wrong := [value for value in result if value < 0 or value != int(value)]:
        raise ValueError(f"column {column!r} must hold whole numbers from 0 on, not {wrong[0]}")
    return [int(value) for value in result]


def classes(
    column: str, values: Sequence[Any], names: Sequence[str]
) -> tuple[list[int], list[Any]]:
    """Return the class of every model, and what the classes are called, in order.

    Raises:
        ValueError: for values that are missing, or neither strings, numbers nor truth values.
    """
    check_complete(column, values, names)
    if other := [value for value in values if not isinstance(value, str | int | float)]:
        raise ValueError(
            f"column {column!r} holds {other[0]!r}; it must hold strings, numbers or truth values"
        )
    sortable = len({isinstance(value, str) for value in values}) == 1
    labels = sorted(set(values)) if sortable else sorted(set(values), key=str)
    position = {label: index for index, label in enumerate(labels)}
    return [position[value] for value in values], labels


def _read_file(path: Path, text: Collection[str]) -> dict[str, list[Any]]:
    if not path.is_file():
        raise ValueError(f"no table at {path}")
    if path.suffix == ".csv":
        return {
            name: list(values) if name in text else _typed(values)
            for name, values in _read_csv(path).items()
        }
    if path.suffix in (".parquet", ".pq"):
        try:
            parquet = import_module("pyarrow.parquet")
        except ImportError as error:
            raise ImportError(
                f"to read {path}, install pyarrow (pip install pyarrow), or write it as CSV"
            ) from error
        columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
        return columns
    raise ValueError(f"a table is a .csv or a .parquet file, not {path}")


def _read_csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            rows = [[entry.strip() for entry in row] for row in reader]
        rows = [row for row in rows if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV table: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty: its first line must name the columns")
    header, body = rows[0], rows[1:]
    if len(set(header)) < len(header) or "" in header:
        raise ValueError(f"the first line of {path} must name each column once: {header}")
    for number, row in enumerate(body, 1):
        if len(row) != len(header):
            raise ValueError(
                f"{path} has {len(header)} columns, but {len(row)} entries in row {number}: {row}"
            )
    return {name: [row[column] for row in body] for column, name in enumerate(header)}


def _typed(texts: Sequence[str]) -> list[Any]:
    """Turn a column of text into numbers where all entries are numbers, or say they are missing."""
    kinds: tuple[Callable[[str], Any], ...] = (int, float)
    for kind in kinds:
        try:
            return [None if text.lower() in _MISSING else kind(text) for text in texts]
        except ValueError:
            continue
    return list(texts)


def _plain(value: Any) -> Any:
    """Take a number out of numpy or torch."""
    return value.item() if isinstance(value, np.generic | Tensor) else value


def _some(names: Sequence[str], count: int = 5) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
