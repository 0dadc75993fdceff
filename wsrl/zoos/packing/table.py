"""A user's table of models: read it, clean it, and match its rows to the models."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from torch import Tensor

from wsrl.safe_files import read_regular
from wsrl.validation import short
from wsrl.zoos.packing.columns import Column, as_number, decimal_sign, is_missing, some
from wsrl.zoos.packing.models import SUFFIXES

Table: TypeAlias = pd.DataFrame | Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""

LARGEST_TABLE = 1 << 28
"""Bytes of a table's file that is read, as it is and unpacked."""

ROWS_TO_NAME = 10_000
"""Rows beyond those of the models that are read, to name the models that they are of."""

SEPARATORS = (",", ";", "\t", "|")
_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE)
TEXT, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")


def read_table(
    table: str | Path | Table,
    models: int,
    say: Callable[[str], object],
    leave_out: Collection[str] = (),
    named: Collection[str] = (),
    separator: str | None = None,
    decimal: str | None = None,
) -> dict[str, Column]:
    """Read a table: text or Parquet, a DataFrame, or values by column.

    Left out are, beside ``leave_out``, an index that was written as a column without a name, and
    columns without any value that no option has ``named``; of these ``say`` is told. A file with
    many more rows than there are ``models`` is not read.
    """
    if isinstance(table, str | Path):
        columns = _read_file(Path(table), models, separator, decimal)
    else:
        frame: Any = table
        frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
        if isinstance(frame, pd.DataFrame) and any(frame.index.names):
            frame = frame.reset_index()
        if not isinstance(frame, pd.DataFrame | Mapping):
            kind = type(table).__name__
            raise ValueError(f"a table is a file, a DataFrame or values by column, not a {kind}")
        columns = [Column(str(name), _plain(name, values)) for name, values in frame.items()]
    lengths = {column.name: len(column.entries) for column in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {short(lengths)}")
    check_known("leave_out", leave_out, [column.name for column in columns])
    kept = [c for c in columns if c.name not in leave_out and not _is_empty(c, named, say)]
    names = [column.name for column in kept]
    if len(set(names)) < len(names) or "" in names:
        raise ValueError(
            f"the table must name each column once: {some(names)}. (pandas writes its index as a "
            "column without a name, unless index=False)"
        )
    return {column.name: column for column in kept}


def match_rows(
    table: Mapping[str, Column], names: Sequence[str], file_column: str, from_files: bool
) -> dict[str, Column]:
    """Put a table's rows into the order of the models, and return its other columns.

    Rows are matched by the column of names: the models' names, with or without suffix, or paths
    that end in them. A table without one, of models that are no files, has its rows in the models'
    order already.
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


def check_known(option: str, given: Collection[str], known: Collection[str]) -> None:
    """Check that a table has the columns that an option names."""
    if isinstance(given, str):
        raise ValueError(f"{option} must be a list of columns, not {given!r}")
    if lost := [name for name in given if name not in known]:
        raise ValueError(
            f"{option}: the table has no such column {some(lost)}; it has "
            f"{some(list(known), 20) or 'none'}"
        )


def _is_empty(column: Column, named: Collection[str], say: Callable[[str], object]) -> bool:
    """Whether a column is useless: it has no value, or is an index without a name."""
    name, entries = column.name, column.entries
    if not entries or name in named:
        return False
    if all(map(is_missing, entries)):
        say(f"column {short(name)} holds no value: left out")
        return True
    unnamed = name in ("", "__index_level_0__") or name.startswith("Unnamed: ")
    if unnamed and all(isinstance(as_number(entry), int) for entry in entries):
        say(f"column {short(name)} holds whole numbers without a name, an index: left out")
        return True
    return False


def _read_file(path: Path, models: int, separator: str | None, decimal: str | None) -> list[Column]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"no table at {path}, or it is no regular file")
    if suffix not in TEXT + PARQUET:
        raise ValueError(f"a table is a file {', '.join(TEXT)} or {PARQUET[0]}, not {path}")
    kind = "Parquet" if suffix in PARQUET else "CSV"
    try:
        content = read_regular(path, LARGEST_TABLE)
        if kind == "Parquet":
            return _read_parquet(content, models)
        return _read_text(content, models, separator, decimal)
    except ImportError as error:
        raise ImportError(
            f"to read {path}, install pyarrow (pip install pyarrow), or write it as CSV"
        ) from error
    except (Exception, MemoryError) as error:  # pyarrow's errors are of many kinds
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no {kind} table of these models: {text[0][:300]}") from error


def _read_text(
    content: bytes, models: int, separator: str | None, decimal: str | None
) -> list[Column]:
    """Read separated columns as text: nothing is guessed."""
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ValueError(f"a separator is one character such as ; not {short(separator)}")
    if decimal not in (None, ".", ","):
        raise ValueError(f"the decimal sign is . or a comma, not {short(decimal)}")
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        decoded = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"save it as UTF-8 ({error})") from error
    text = io.StringIO(decoded, newline=None).read().lstrip("\n")  # any sign ends a line
    if not text.strip():
        raise ValueError("it is empty: its first line must name the columns")

    def rows(separator: str, strict: bool = False) -> Iterator[list[str]]:
        source = io.StringIO(text)
        return csv.reader(source, delimiter=separator, skipinitialspace=True, strict=strict)

    separator = separator or max(SEPARATORS, key=lambda each: len(next(rows(each))))
    most = models + ROWS_TO_NAME
    read = islice(rows(separator, strict=True), most + 2)
    stripped = ([entry.strip() for entry in row] for row in read)
    header, *body = (row for row in stripped if any(row))
    if len(body) > most:
        raise ValueError(_too_long(f"more than {most}", models))
    if other := [row for row in body if len(row) != len(header)]:
        raise ValueError(f"{len(header)} columns, but {len(other[0])} in row {short(other[0])}")
    columns = []
    for name, *entries in zip(header, *body, strict=True):
        sign = decimal or ("." if separator == "," else decimal_sign(entries))
        columns.append(Column(name, entries, text=True, decimal=sign))
    return columns


def _read_parquet(content: bytes, models: int) -> list[Column]:
    """Read a Parquet file; its unpacked size is checked by its metadata before."""
    file = import_module("pyarrow.parquet").ParquetFile(io.BytesIO(content))
    metadata = file.metadata
    if metadata.num_rows > models + ROWS_TO_NAME:
        raise ValueError(_too_long(str(metadata.num_rows), models))
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if (size := sum(group.total_byte_size for group in groups)) > LARGEST_TABLE:
        raise ValueError(f"it unpacks to {size} bytes, more than {LARGEST_TABLE}")
    values = sum(g.column(i).num_values for g in groups for i in range(g.num_columns))
    if values > metadata.num_rows * metadata.num_columns:
        raise ValueError(f"it holds {values} values: expected one a row and column")
    frame = file.read().to_pandas(ignore_metadata=True, integer_object_nulls=True)
    return [Column(name, _plain(name, values)) for name, values in frame.items()]


def _plain(name: object, values: Any) -> list[Any]:
    """Return a column's values as those of Python."""
    try:
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise TypeError(short(values))
        plain = pd.Series(values.tolist() if isinstance(values, Tensor) else values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {short(name)} must be a sequence ({error})") from error
    return [
        value.item() if isinstance(value, np.number | np.bool_ | Tensor) else value
        for value in plain.astype(object)
    ]


def _too_long(rows: str, models: int) -> str:
    return f"it has {rows} rows, but there are {models} models: expected one row for each"


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
