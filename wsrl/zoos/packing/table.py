"""A user's table of what is known of every model: read and tidied."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from torch import Tensor

from wsrl.safe_files import read_regular
from wsrl.zoos.packing.columns import Column, as_number, decimal_sign, is_missing
from wsrl.zoos.packing.texts import quoted, short, some

Table: TypeAlias = pd.DataFrame | Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""

LARGEST_TABLE = 1 << 28
"""Bytes of a table's file that is read, as it is and unpacked."""

MOST_COLUMNS = 10_000

ROWS_TO_NAME = 10_000
"""Rows beyond those of the models that are read, to name the models that they are of."""

SEPARATORS = (",", ";", "\t", "|")
_EXCEL = re.compile(r"sep=([^\w\n])\n")  # its first line may name the separator
TEXT, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")


@dataclass(frozen=True)
class TableOptions:
    """How a table is read, and which columns mean what; as the arguments of ``pack_zoo``."""

    file_column: str = "file"
    categorical: Collection[str] = ()
    real: Collection[str] = ()
    angle: Collection[str] = ()
    leave_out: Collection[str] = ()
    run: str | None = None
    step: str | None = None
    performance: str | None = None
    task: Sequence[str] = ()
    separator: str | None = None
    decimal: str | None = None

    def named(self) -> set[str]:
        """Return the columns that an option names."""
        given = (self.run, self.step, self.performance)
        return {*self.categorical, *self.real, *self.angle, *self.task, *(n for n in given if n)}


def read_table(
    table: str | Path | Table,
    models: int,
    options: TableOptions,
    say: Callable[[str], object],
) -> dict[str, Column]:
    """Read a table: text or Parquet, a DataFrame, or values by column.

    Left out are, beside ``leave_out``, an index that was written as a column without a name, and
    columns without any value that no option names.

    Args:
        table: the path of a file, a DataFrame (pandas', or one with ``to_pandas``), or the columns.
        models: how many models there are. A file with many more rows is not read.
        options: how to read it.
        say: told what is left out.

    Raises:
        ValueError: for a file that is no table or too large, or columns of different lengths or
            without a name.
        ImportError: for a Parquet file where pyarrow is not installed.
    """
    if isinstance(table, str | Path):
        columns = _read_file(Path(table), models, options)
    else:
        frame: Any = table
        frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
        if isinstance(frame, pd.DataFrame) and any(frame.index.names):
            frame = frame.reset_index()
        if not isinstance(frame, pd.DataFrame | Mapping):
            kind = type(table).__name__
            raise ValueError(f"a table is a file, a DataFrame or values by column, not a {kind}")
        columns = [Column(str(name), _plain(name, values)) for name, values in frame.items()]
    lengths = {short(column.name): len(column.entries) for column in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    check_known("leave_out", options.leave_out, [column.name for column in columns])
    kept = [column for column in columns if not _is_left_out(column, options, say)]
    names = [column.name for column in kept]
    if len(set(names)) < len(names) or "" in names:
        raise ValueError(
            f"the table must name each column once: {quoted(names, 200)}. (pandas writes its index "
            "as a column without a name, unless index=False)"
        )
    return {column.name: column for column in kept}


def check_known(option: str, given: Collection[str], known: Collection[str]) -> None:
    """Check that a table has the columns that an option names.

    Raises:
        ValueError: naming those that it has not.
    """
    if isinstance(given, str):
        raise ValueError(f"{option} must be a list of columns, not {given!r}")
    if lost := [name for name in given if name not in known]:
        raise ValueError(
            f"{option}: the table has no such column {some(lost)}; it has "
            f"{some(list(known), 20) or 'none'}"
        )


def _is_left_out(column: Column, options: TableOptions, say: Callable[[str], object]) -> bool:
    name, entries = column.name, column.entries
    if name in options.leave_out:
        return True
    unnamed = name in ("", "__index_level_0__") or name.startswith("Unnamed: ")
    if not entries or name in options.named():
        return False
    if all(map(is_missing, entries)):
        say(f"column {quoted(name)} holds no value: left out")
        return True
    if unnamed and all(isinstance(as_number(entry), int) for entry in entries):
        say(f"column {quoted(name)} holds whole numbers without a name, an index: left out")
        return True
    return False


def _read_file(path: Path, models: int, options: TableOptions) -> list[Column]:
    if not path.exists():
        raise ValueError(f"no table at {path}")
    if not path.is_file():
        raise ValueError(f"the table {path} is no regular file")
    suffix = path.suffix.lower()
    if suffix not in TEXT + PARQUET:
        raise ValueError(f"a table is a file {', '.join(TEXT)} or {PARQUET[0]}, not {path}")
    if suffix in PARQUET:
        try:
            parquet = import_module("pyarrow.parquet")
        except ImportError as error:
            raise ImportError(
                f"to read {path}, install pyarrow (pip install pyarrow), or write it as CSV"
            ) from error
    try:
        content = read_regular(path, LARGEST_TABLE)
        if suffix in PARQUET:
            return _read_parquet(parquet.ParquetFile(io.BytesIO(content)), models)
        return _read_text(content, models, options)
    except (Exception, MemoryError) as error:  # pyarrow's errors are of many kinds
        kind = "Parquet" if suffix in PARQUET else "CSV"
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no {kind} table of these models: {text[0][:300]}") from error


def _read_text(content: bytes, models: int, options: TableOptions) -> list[Column]:
    """Read separated columns as text, so that pandas guesses nothing."""
    separator = "\t" if options.separator == "\\t" else options.separator
    if separator is not None and (
        len(separator) != 1 or not separator.isascii() or separator in '"\r\n'
    ):
        raise ValueError(f"a separator is one character such as ; not {quoted(separator)}")
    if options.decimal not in (None, ".", ","):
        raise ValueError(f"the decimal sign is . or a comma, not {quoted(options.decimal)}")
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        decoded = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"save it as UTF-8 ({error})") from error
    text = io.StringIO(decoded, newline=None).read().lstrip("\n")  # any sign ends a line
    if found := _EXCEL.match(text):
        separator, text = separator or found[1], text[found.end() :]
    if not text.strip():
        raise ValueError("it is empty: its first line must name the columns")

    def split_by(separator: str) -> int:
        return len(next(csv.reader(io.StringIO(text), delimiter=separator)))

    separator = separator or max(SEPARATORS, key=split_by)
    if split_by(separator) > MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS} columns")
    most = models + ROWS_TO_NAME
    frame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=None,
        dtype=object,
        keep_default_na=False,
        skipinitialspace=True,
        nrows=most + 2,
        engine="python",  # which tells where a row ends early
    )
    if (short_rows := frame.isna().any(axis=1)).any():
        row = frame[short_rows].iloc[0].dropna().tolist()
        raise ValueError(f"{len(frame.columns)} columns, but {len(row)} in row {quoted(row, 200)}")
    frame = frame.map(str.strip)
    frame = frame[(frame != "").any(axis=1)]
    if len(frame) > most + 1:
        raise ValueError(_too_long(f"more than {most}", models))
    columns = []
    for name, *entries in (frame[at].tolist() for at in frame):
        sign = options.decimal or ("." if separator == "," else decimal_sign(entries))
        columns.append(Column(name, entries, text=True, decimal=sign))
    return columns


def _read_parquet(file: Any, models: int) -> list[Column]:
    """Read a Parquet file; what it unpacks to is known from its metadata alone."""
    metadata = file.metadata
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
    frame = file.read().to_pandas(ignore_metadata=True, integer_object_nulls=True)
    return [Column(name, _plain(name, values)) for name, values in frame.items()]


def _plain(name: object, values: Any) -> list[Any]:
    """Return a column's values as those of Python."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError(f"column {quoted(name)} must be a sequence, not {quoted(values)}")
    try:
        plain = pd.Series(values.tolist() if isinstance(values, Tensor) else values).astype(object)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {quoted(name)} must be a sequence ({error})") from error
    return [
        value.item() if isinstance(value, np.number | np.bool_ | Tensor) else value
        for value in plain
    ]


def _too_long(rows: str, models: int) -> str:
    return f"it has {rows} rows, but there are {models} models: expected one row for each"
