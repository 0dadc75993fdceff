"""A user's table of what is known of every model."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from wsrl.safe_files import read_regular
from wsrl.zoos.packing.columns import Column
from wsrl.zoos.packing.texts import quoted, short, some

Table: TypeAlias = Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""

LARGEST_TABLE = 1 << 28
"""Bytes of a table's file that is read, as it is and unpacked."""

ROWS_TO_NAME = 10_000
"""Rows beyond those of the models that are read, to name the models that they are of."""


def read_table(table: str | Path | Table, models: int) -> dict[str, Column]:
    """Read a table: CSV, Parquet, or columns in memory.

    Args:
        table: the path of a ``.csv`` or ``.parquet`` file, or the columns.
        models: how many models there are. A file with many more rows is not read.

    Raises:
        ValueError: for a file that is no table or too large, or columns of different lengths.
        ImportError: for a Parquet file where pyarrow is not installed.
    """
    if isinstance(table, Mapping):
        columns = [Column.of(str(name), values, True) for name, values in table.items()]
    else:
        columns = _read_file(Path(table), models)
    lengths = {short(column.name): len(column.entries) for column in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    return {column.name: column for column in columns}


def match_rows(
    table: Mapping[str, Column], names: Sequence[str], file_column: str, from_files: bool
) -> dict[str, Column]:
    """Put a table's rows into the order of the models.

    Rows are matched by the column of names. A table without one, of models that are no files, has
    its rows in the models' order already.

    Returns:
        The other columns.

    Raises:
        ValueError: where rows and models do not match one to one, naming those that do not.
    """
    others = [column for name, column in table.items() if name != file_column]
    if file_column not in table:
        count = len(others[0].entries) if others else 0
        if from_files:
            raise ValueError(
                f"the table has no column {quoted(file_column)} that names the files; it has "
                f"{some(list(table), 20)}. Say which one does with file_column"
            )
        if count != len(names):
            raise ValueError(f"the table has {count} rows, but there are {len(names)} models")
        return {column.name: column.pick(range(count), names) for column in others}
    keys = [str(value) for value in table[file_column].entries]
    rows_of, models = Counter(keys), set(names)
    problems = {
        "rows of no model": [key for key in rows_of if key not in models],
        "models without a row": [name for name in names if rows_of[name] == 0],
        "models with several rows": [name for name in names if rows_of[name] > 1],
    }
    found = [f"{what}: {some(which)}" for what, which in problems.items() if which]
    if found:
        raise ValueError(
            f"the table's column {quoted(file_column)} does not match the models. "
            f"{'. '.join(found)}"
        )
    row_of = {key: row for row, key in enumerate(keys)}
    rows = [row_of[name] for name in names]
    return {column.name: column.pick(rows, names) for column in others}


def _read_file(path: Path, models: int) -> list[Column]:
    if not path.exists():
        raise ValueError(f"no table at {path}")
    if not path.is_file():
        raise ValueError(f"the table {path} is no regular file")
    if path.suffix == ".csv":
        return _read_csv(path, models)
    if path.suffix in (".parquet", ".pq"):
        try:
            parquet = import_module("pyarrow.parquet")
        except ImportError as error:
            raise ImportError(
                f"to read {path}, install pyarrow (pip install pyarrow), or write it as CSV"
            ) from error
        return _read_parquet(path, models, parquet)
    raise ValueError(f"a table is a .csv or a .parquet file, not {path}")


def _read_csv(path: Path, models: int) -> list[Column]:
    rows: list[list[str]] = []
    try:
        text = read_regular(path, LARGEST_TABLE).decode("utf-8-sig")
        for row in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True):
            entries = [entry.strip() for entry in row]
            if any(entries):
                rows.append(entries)
            if len(rows) > 1 + models + ROWS_TO_NAME:
                raise ValueError(_too_long(f"more than {models + ROWS_TO_NAME}", models))
    except (ValueError, csv.Error) as error:  # no UTF-8 is a ValueError
        raise ValueError(f"{path} is no CSV table of these models: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty: its first line must name the columns")
    header, body = rows[0], rows[1:]
    if len(set(header)) < len(header) or "" in header:
        raise ValueError(
            f"the first line of {path} must name each column once: {quoted(header, 200)}"
        )
    for number, row in enumerate(body, 1):
        if len(row) != len(header):
            raise ValueError(
                f"{path} has {len(header)} columns, but {len(row)} entries in row {number}: "
                f"{quoted(row, 200)}"
            )
    return [Column.of(name, [row[at] for row in body], False) for at, name in enumerate(header)]


def _read_parquet(path: Path, models: int, parquet: Any) -> list[Column]:
    """Read a Parquet file; what it unpacks to is known from its metadata alone."""
    try:
        file = parquet.ParquetFile(path)
        _check_counts(file.metadata, models)
        names = list(file.schema_arrow.names)
        if len(set(names)) < len(names):
            raise ValueError(f"it names two columns alike: {some(names, 20)}")
        columns = file.read().to_pydict()
    except (Exception, MemoryError) as error:  # pyarrow's errors are of many kinds
        text = str(error).splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no Parquet table of these models: {text[0][:300]}") from error
    return [Column.of(name, values, True) for name, values in columns.items()]


def _check_counts(metadata: Any, models: int) -> None:
    if metadata.num_rows > models + ROWS_TO_NAME:
        raise ValueError(_too_long(str(metadata.num_rows), models))
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if (size := sum(group.total_byte_size for group in groups)) > LARGEST_TABLE:
        raise ValueError(f"it unpacks to {size} bytes, more than {LARGEST_TABLE}")
    for group in groups:
        for column in map(group.column, range(group.num_columns)):
            if column.num_values > group.num_rows:
                raise ValueError(
                    f"column {quoted(column.path_in_schema)} holds {column.num_values} values in "
                    f"{group.num_rows} rows: expected one a row"
                )


def _too_long(rows: str, models: int) -> str:
    return f"it has {rows} rows, but there are {models} models: expected one row for each"
