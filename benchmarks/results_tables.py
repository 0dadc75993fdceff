"""Print the documentation's tables of results from the report of a benchmark.

python benchmarks/results_tables.py docs/results/small
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from wsrl.studies.report.ranking import SIGNIFICANT


class Column(NamedTuple):
    """A column: the rows of ``summary.csv`` that it shows, whether less is better, and a format."""

    title: str
    target: str
    mode: str
    split: str
    metric: str
    less: bool
    value: str


def _columns(target: str, metric: str, less: bool, value: str) -> tuple[Column, ...]:
    return (
        Column("TV, validation", "", "", "validation", "total_variation", True, "{:.3f}"),
        Column("TV, OOD", "", "", "ood", "total_variation", True, "{:.3f}"),
        Column("frozen, validation", target, "frozen", "validation", metric, less, value),
        Column("frozen, OOD", target, "frozen", "ood", metric, less, value),
        Column("finetune, OOD", target, "finetune", "ood", metric, less, value),
        Column("scratch, OOD", target, "scratch", "ood", metric, less, value),
    )


def _frozen(title: str, target: str, metric: str, value: str = "{:.2f}") -> tuple[Column, ...]:
    return tuple(
        Column(
            f"{title}, {split.replace('ood', 'OOD')}", target, "frozen", split, metric, False, value
        )
        for split in ("validation", "ood")
    )


TABLES = {
    "task": _columns("task", "exact_match", False, "{:.0%}"),
    "angle": _columns("angle", "angular_error", True, "{:.0f}°"),
    "n_stable": (
        Column("TV, validation", "", "", "validation", "total_variation", True, "{:.3f}"),
        *_frozen("stable points", "n_stable", "r2"),
        *_frozen("unstable directions", "max_unstable_directions", "r2"),
        *_frozen("time constant", "dominant_time_constant", "kendall_tau"),
        *_frozen("has a cycle", "has_cycle", "exact_match", "{:.0%}"),
    ),
}
"""By the main target of a zoo."""

MIN_SEEDS = 6
"""With fewer, no exact sign-flip test gives 1 in 20."""


def table(summary: pd.DataFrame, zoo: str) -> Iterator[str]:
    """Yield the lines of a zoo's table: means with intervals, the best in bold, no ablations."""
    rows = summary[(summary.zoo == zoo) & ~summary.encoder.str.contains("=")]
    rows = rows[rows.groupby("encoder").seeds.transform("max") > 0]
    kinds = rows.drop_duplicates("encoder").set_index("encoder").kind
    columns = next(own for target, own in TABLES.items() if target in set(rows.target))
    shown = {c.title: _cells(rows, c) for c in columns}
    cells = pd.DataFrame(shown, index=kinds.index).astype(object).fillna("")
    cells = cells.loc[:, (cells != "").any()]
    yield f"| encoder | {' | '.join(cells.columns)} |"
    yield "|---|" + "---|" * len(cells.columns)
    for name, kind in kinds.items():
        label = f"{name} (baseline)" if kind == "baseline" else f"`{name}`"
        yield f"| {label} | {' | '.join(cells.loc[name])} |"


def _cells(rows: pd.DataFrame, column: Column) -> pd.Series:
    """Return what a column shows of each encoder; baselines have no modes, and are shown once."""
    wanted = (rows.target == column.target) & (rows["mode"] == column.mode)
    wanted &= (rows.split == column.split) & (rows.metric == column.metric)
    wanted &= (rows.kind != "baseline") | (column.mode == "frozen")
    own = rows[wanted & rows["mean"].notna()].set_index("encoder")
    finite = own["mean"][np.isfinite(own["mean"])]
    best = finite.min() if column.less else finite.max()
    return own.apply(_cell, axis=1, args=(best, column.value))


def _cell(row: pd.Series, best: float, value: str) -> str:
    shown = value.format(row["mean"])
    shown = f"**{shown}**" if row["mean"] == best else shown
    if pd.isna(row["low"]):
        return shown
    return f"{shown} ({value.format(row['low'])} to {value.format(row['high'])})"


def differences(summary: pd.DataFrame, runs: pd.DataFrame, zoo: str) -> Iterator[str]:
    """Yield the lines of a table of differences from the encoder that a report compares with.

    Encoders and ablations that share 6 seeds or more with it, which an exact sign-flip test takes;
    bold where it gives 1 in 20 or less. With them the median seconds of pre-training. No line where
    there is none.
    """
    rows = summary[(summary.zoo == zoo) & (summary.difference_seeds >= MIN_SEEDS)]
    rows = rows[rows.kind != "baseline"]
    if rows.empty:
        return
    columns = next(own for target, own in TABLES.items() if target in set(rows.target))
    groups = dict(list(rows.groupby("encoder", sort=False)))
    cells = pd.DataFrame(
        {c.title: {name: _difference(own, c) for name, own in groups.items()} for c in columns}
    )
    cells = cells.loc[:, (cells != "").any()]
    pretrained = runs[(runs.zoo == zoo) & (runs.kind == "emulation")]
    cells["seconds"] = pretrained.groupby("encoder").seconds.median().map("{:.0f}".format)
    yield f"| encoder | {' | '.join(cells.columns)} |"
    yield "|---|" + "---|" * len(cells.columns)
    for name, row in cells.to_dict("index").items():
        yield f"| `{name}` | {' | '.join(row.values())} |"


def _difference(rows: pd.DataFrame, column: Column) -> str:
    wanted = (rows.target == column.target) & (rows["mode"] == column.mode)
    wanted &= (rows.split == column.split) & (rows.metric == column.metric)
    if not wanted.any():
        return ""
    row = rows[wanted].iloc[0]
    value = column.value.replace(":", ":+", 1)
    shown = f"{value.format(row.difference)}, p = {row.p_value:.2g}"
    return f"**{shown}**" if row.p_value <= SIGNIFICANT else shown


def main(folder: Path) -> str:
    """Return the tables of all zoos, as Markdown."""
    text = ["zoo", "encoder", "kind", "target", "mode", "split", "metric"]
    summary = pd.read_csv(folder / "summary.csv")
    summary = summary.fillna(dict.fromkeys(text, ""))
    runs = pd.read_csv(folder / "runs.csv")
    tables = []
    for zoo in filter(None, summary.zoo.unique()):
        tables += [table(summary, zoo), differences(summary, runs, zoo)]
    return "\n\n".join(filter(None, map("\n".join, tables)))


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
