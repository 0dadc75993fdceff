"""Tables for the terminal, and what goes into them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsrl.rnn import RNNSpec
from wsrl.safe_files import naming
from wsrl.terminal import printable, say

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_SPEC = RNNSpec("lstm", 6, 32, 2, 6)
"""The RNNs of the published formal-language zoo."""


def print_metrics(metrics: Mapping[str, float]) -> None:
    """Print metrics named ``split/metric``: a row a metric, a column a split."""
    rows: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        rows.setdefault(metric, {"metric": metric})[split] = _defined(value)
    splits = dict.fromkeys(name.partition("/")[0] for name in metrics)
    say(aligned(["metric", *splits], list(rows.values())))


def print_by_spec(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print metrics by split and spec: a table a split, a row a spec."""
    for split, specs in metrics.items():
        rows: list[dict[str, Any]] = [
            {split: spec} | {name: _defined(value) for name, value in known.items()}
            for spec, known in specs.items()
        ]
        say("\n" + aligned([*rows[0]], rows))


def _defined(value: float) -> float | str:
    """Return a metric, or say that it is not defined, as R2 of one RNN."""
    return "undefined" if math.isnan(value) else value


def aligned(names: Sequence[str], records: Sequence[Mapping[str, Any]]) -> str:
    """Return a table for files and pipes, where nothing may be cut: all columns right aligned."""
    rows = [[name.replace("_", " ") for name in names]]
    rows += [[shown(record.get(name)) for name in names] for record in records]
    rows = [[printable(word) for word in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    )


def shown(value: Any) -> str:
    """Return a value to read; what is not known is a dash."""
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def listed(facts: Mapping[str, str]) -> str:
    """Return facts to read, a line each, with their names in a column of their own."""
    lines = [(printable(name), printable(value)) for name, value in facts.items()]
    width = max(len(name) for name, _ in lines) + 1
    return "\n".join(f"{name:{width}} {value}".rstrip() for name, value in lines)


def spreadsheet_cell(value: Any) -> Any:
    """Return a value for a CSV file; text that a spreadsheet would compute is marked as text.

    A spreadsheet takes text that begins with one of ``=+-@`` for a formula, which may read other
    cells and open addresses. An apostrophe before it says that it is none.
    """
    if isinstance(value, str):
        value = printable(value, keep="\n")
        return f"'{value}" if value.startswith(tuple("=+-@")) else value
    return value


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV; text that a spreadsheet would compute is marked as text."""
    return str(table.map(spreadsheet_cell).to_csv(index=False, lineterminator="\n"))


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write records to a CSV file, a row each; without any the file is empty.

    Raises:
        OSError: naming the file, where it cannot be written.
    """
    import pandas as pd

    with naming(path):
        path.write_text(to_csv(pd.DataFrame(records, dtype=object)) if records else "")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, as the path's suffix says, whole or not at all.

    Raises:
        ImportError: for Parquet, where pyarrow is not installed.
        OSError: naming the file, where it cannot be written.
    """
    from wsrl.zoos.files import write_atomically

    if path.suffix == ".parquet":
        write_atomically(path, table.to_parquet(index=False))
    else:
        write_atomically(path, to_csv(table).encode())
