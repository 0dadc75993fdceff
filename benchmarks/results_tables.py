"""Print the README's tables of results from the report of a benchmark.

python benchmarks/results_tables.py docs/results/small
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Column(NamedTuple):
    """A column: the rows of ``summary.csv`` that it shows, and how: best value and format."""

    title: str
    target: str
    mode: str
    split: str
    metric: str
    best: Callable[..., float]
    value: str


def _columns(
    target: str, metric: str, best: Callable[..., float], value: str
) -> tuple[Column, ...]:
    return (
        Column("TV, validation", "", "", "validation", "total_variation", min, "{:.3f}"),
        Column("TV, OOD", "", "", "ood", "total_variation", min, "{:.3f}"),
        Column("frozen, validation", target, "frozen", "validation", metric, best, value),
        Column("frozen, OOD", target, "frozen", "ood", metric, best, value),
        Column("scratch, OOD", target, "scratch", "ood", metric, best, value),
    )


TABLES = {
    "languages": _columns("task", "exact_match", max, "{:.0%}"),
    "mnist": _columns("angle", "angular_error", min, "{:.0f}°"),
}


def table(rows: list[dict[str, str]], zoo: str) -> Iterator[str]:
    """Yield the lines of a zoo's table: means with intervals, the best in bold, no ablations."""
    rows = [row for row in rows if row["zoo"] == zoo and "=" not in row["encoder"]]
    names = {row["encoder"]: row["kind"] for row in rows}
    cells = [_cells(rows, names, column) for column in TABLES[zoo]]
    yield f"| encoder | {' | '.join(column.title for column in TABLES[zoo])} |"
    yield "|---|" + "---|" * len(cells)
    for name, kind in names.items():
        label = f"{name} (baseline)" if kind == "baseline" else f"`{name}`"
        yield f"| {label} | {' | '.join(cell[name] for cell in cells)} |"


def _cells(
    rows: list[dict[str, str]], names: Mapping[str, str], column: Column
) -> Mapping[str, str]:
    found = {
        row["encoder"]: row
        for row in rows
        if (row["target"], row["mode"], row["split"], row["metric"])
        == (column.target, column.mode, column.split, column.metric)
        and (row["kind"] != "baseline" or column.mode == "frozen")
        and row["mean"]
    }
    means = [float(row["mean"]) for row in found.values()]
    best = column.best(filter(math.isfinite, means), default=math.nan)
    return {name: _cell(found[name], best, column) if name in found else "" for name in names}


def _cell(row: Mapping[str, str], best: float, column: Column) -> str:
    shown = column.value.format(float(row["mean"]))
    shown = f"**{shown}**" if float(row["mean"]) == best else shown
    ends = [column.value.format(float(row[name])) for name in ("low", "high") if row[name]]
    return f"{shown} ({' to '.join(ends)})" if ends else shown


def main(folder: Path) -> str:
    """Return the tables of all zoos, as Markdown."""
    with (folder / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return "\n\n".join("\n".join(table(rows, zoo)) for zoo in TABLES)


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
