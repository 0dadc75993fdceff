"""What a study of degeneracy leaves behind: tables, and a page."""

from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from wsrl.analysis.similarity.relations import FEWEST_FOR_INTERVAL
from wsrl.studies.degeneracy.measuring import Degeneracy
from wsrl.studies.report.charts import Chart, figure
from wsrl.studies.report.pages import Section, write_page
from wsrl.studies.report.words import chart_text, interval, number
from wsrl.studies.tables import aligned, write_csv

FILES = ("degeneracy.csv", "directions.csv", "degeneracy.html")


def write_degeneracy(folder: Path, found: Degeneracy) -> list[Path]:
    """Write the groups and the directions as tables, and a page."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    write_csv(paths[0], found.records())
    write_csv(paths[1], found.directions())
    groups = pd.DataFrame(_shown_groups(found))
    charts = [_chart(found, name) for name in _names(found)]
    text = [
        "How much RNNs differ that solve their task: mean distances over pairs, with 95% intervals "
        "of a bootstrap over RNNs. Distances of weights are divided by the root of their number.",
        *found.notes,
    ]
    sections = [Section("Groups", [], charts, [("mean distances", groups)])]
    if directions := _shown_directions(found):
        said = [
            "Groups that differ in one fact alone, of which the smallest and the largest value are "
            "compared: how much more the RNNs differ where it is larger, and what Huang et al. "
            "(NeurIPS 2025) found. Their regularisation is of structure (sparse, low rank); weight "
            "decay and training time have nothing beside them. Runs that solve the task at both of "
            "two steps are resampled together.",
            "Weights of larger RNNs are smaller, and so are their distances for each weight.",
        ]
        table = ("directions", pd.DataFrame(directions))
        sections.insert(0, Section("What makes RNNs differ less", said, [], [table]))
    write_page(paths[2], "How much solutions differ", text, sections)
    return paths


def summarize_degeneracy(found: Degeneracy) -> str:
    """Return the result to read."""
    groups, directions = _shown_groups(found), _shown_directions(found)
    lines = [aligned([*groups[0]], groups)]
    if directions:
        lines += ["", aligned([*directions[0]], directions)]
    few = any(len(m) < FEWEST_FOR_INTERVAL for g in found.groups for m in g.distances.values())
    lines += [f"groups of fewer than {FEWEST_FOR_INTERVAL} RNNs have no intervals"] if few else []
    return "\n".join([*lines, *found.notes])


def _names(found: Degeneracy) -> list[str]:
    return [*dict.fromkeys(name for group in found.groups for name in group.distances)]


def _shown_groups(found: Degeneracy) -> list[dict[str, Any]]:
    facts = [*found.differing(), "solved", "rnns"]
    return [
        {
            **{name: row[name] for name in facts},
            **{name: _written(row, name) for name in _names(found)},
        }
        for row in found.records()
    ]


def _written(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return "-"
    ends = interval(row[f"{name}_low"], row[f"{name}_high"])
    return number(row[name]) + (f" ({ends})" if ends else "")


def _shown_directions(found: Degeneracy) -> list[dict[str, Any]]:
    shown = []
    for row in found.directions():
        ends = interval(row["low"], row["high"])
        written = {"change": number(row["change"]), "interval": ends or None}
        last = {name: row.pop(name) for name in ("found", "published", "verdict")}
        about = {n: value for n, value in row.items() if n not in ("change", "low", "high")}
        whole = {**about, **written, **last}
        shown.append({name: _fact(value) for name, value in whole.items()})
    return shown


def _fact(value: Any) -> str:
    """Write a fact of groups: columns have whole numbers and others."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _chart(found: Degeneracy, name: str) -> Chart:
    """Return the mean distance of each group with its interval."""
    rows = [row for row in found.records() if name in row]
    labels = [", ".join(str(row[fact]) for fact in found.differing()) for row in rows]
    means = [row[name] for row in rows]
    errors = {"type": "data", "symmetric": False}
    errors["array"] = [(r[f"{name}_high"] or r[name]) - r[name] for r in rows]
    errors["arrayminus"] = [r[name] - (r[f"{name}_low"] or r[name]) for r in rows]
    trace = go.Scatter(x=means, y=[*map(chart_text, labels)], error_x=errors, mode="markers")
    return Chart(name, figure("mean distance", "", [trace]), height=120 + 30 * len(rows))
