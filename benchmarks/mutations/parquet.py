"""Changes of Parquet tables, where pyarrow is installed; it is no dependency of wsrl.

pyarrow starts threads when it is imported, which cannot be forked: this file is run as a program.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

ROWS, GROUPS = 1_000_000, 50
"""Rows of a group, and groups, of a table that is small on the disk only."""


def parquet(chance: Random, path: Path) -> str:
    """Change a column's kind, the columns there are, or the number of rows."""
    words = [sys.executable, __file__, str(chance.random()), str(path)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def write_parquet(table: Path, path: Path) -> bool:
    """Write a CSV table as Parquet; return whether pyarrow is there."""
    words = [sys.executable, __file__, str(table), str(path)]
    return subprocess.run(words, capture_output=True).returncode == 0


def _change(chance: Random, path: Path) -> str:
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pq.ParquetFile(path).read()
    number = chance.randrange(table.num_columns)
    name, count = table.column_names[number], table.num_rows
    values: dict[str, list[Any]] = {
        "nulls": [None],
        "lists": [[1, 2]],
        "dicts": [{"a": 1}],
        "bytes": [b"\xff\x00"],
        "dates": [datetime(2026, 1, 1)],
        "decimals": [Decimal("1.50")],
        "truth values": [True, None],
        "numbers of 64 bits": [2**64 - 1, 0],
        "no finite numbers": [float("nan"), float("inf")],
        "control characters": ["\x1b[31mred\x07\nline"],
        "long texts": ["x" * 100_000],
        "numbers that are texts": ["2_16", "1e400"],
    }
    pick = chance.randrange(12)
    if pick == 0:
        table, done = table.remove_column(number), "is gone"
    elif pick == 1:
        table, done = table.append_column(name, table.column(number)), "is there twice"
    elif pick == 2:
        table, done = table.slice(0, chance.choice((0, 1, count - 1))), "has few rows"
    elif pick == 3:
        _write_many(table, path)
        return f"{ROWS * GROUPS} rows"
    else:
        done = chance.choice(list(values))
        column = pa.array((values[done] * count)[:count])
        if isinstance(values[done][0], str) and chance.random() < 0.5:
            column, done = column.dictionary_encode(), f"{done}, by a dictionary"
        table = table.set_column(number, name, column)
    pq.write_table(table, path)
    return f"{name}: {done}"


def _write_many(table: Any, path: Path) -> None:
    """Write the first row again and again."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    row = table.slice(0, 1).to_pylist()[0]
    columns = {name: pa.repeat(value, ROWS) for name, value in row.items()}
    many = pa.table(columns)
    with pq.ParquetWriter(path, many.schema) as writer:
        for _ in range(GROUPS):
            writer.write_table(many)


def _copy(table: Path, path: Path) -> None:
    from pyarrow import csv
    from pyarrow import parquet as pq

    pq.write_table(csv.read_csv(table), path)


if __name__ == "__main__":
    if sys.argv[1].endswith(".csv"):
        _copy(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        print(_change(Random(sys.argv[1]), Path(sys.argv[2])))
