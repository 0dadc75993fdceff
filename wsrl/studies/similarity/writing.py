"""What a comparison leaves behind: matrices in one file, tables, and a page of maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from wsrl.analysis.similarity import cluster_order
from wsrl.analysis.similarity.relations import FEWEST_FOR_INTERVAL
from wsrl.studies.report.charts import Chart, figure
from wsrl.studies.report.pages import Section, write_page
from wsrl.studies.report.words import chart_text, interval, number
from wsrl.studies.similarity.measuring import Array, Similarity
from wsrl.studies.similarity.subjects import runs_of
from wsrl.studies.tables import aligned, shown, write_csv
from wsrl.zoos.tensors import write_tensors

FILES = ("distances.safetensors", "rnns.csv", "relations.csv", "alike.html")

_FEW = f"Fewer than {FEWEST_FOR_INTERVAL} runs: too few for intervals."
_TOLD = ("name", "task", "performance", "cell", "hidden_size")


def write_similarity(folder: Path, found: Similarity) -> list[Path]:
    """Write ``distances.safetensors`` (matrices by name), two tables, and ``alike.html``.

    The order of rows and columns is that of ``rnns.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    tensors = {name: torch.from_numpy(matrix.copy()) for name, matrix in found.distances.items()}
    said = {"left_out": found.left_out, "notes": list(found.notes)}
    write_tensors(paths[0], tensors, {"names": found.table["name"].tolist(), **said})
    write_csv(paths[1], _records(found))
    relations = _ordered(found)
    write_csv(paths[2], relations)
    _write_page(paths[3], found, relations)
    return paths


def summarize(found: Similarity) -> str:
    """Return the result to read: how far apart RNNs are by each distance, and what predicts what.

    Two RNNs have a number for each distance.
    """
    count = len(found.table)
    lines = [f"{count} RNNs", aligned([*_sizes(found)[0]], _sizes(found))]
    if count > 3:
        told = [
            {"distance": f"{each['one']} and {each['other']}", **_correlation(each)}
            for each in _ordered(found)
        ]
        lines += ["", "rank correlations over pairs, 95% over runs", aligned([*told[0]], told)]
        lines += _few(found)
    lines += [f"no {name}: {reason}" for name, reason in found.left_out.items()]
    return "\n".join([*lines, *found.notes])


def _few(found: Similarity) -> list[str]:
    return [_FEW] if len({*runs_of(found.table)}) < FEWEST_FOR_INTERVAL else []


def _ordered(found: Similarity) -> list[dict[str, Any]]:
    """Return the relations, the highest correlation first, and last those without one."""
    return sorted(found.relations, key=lambda each: np.nan_to_num(-each["correlation"], nan=np.inf))


def _sizes(found: Similarity) -> list[dict[str, Any]]:
    names, records = found.table["name"].tolist(), []
    for name, matrix in found.distances.items():
        rows, columns = np.triu_indices(len(matrix), 1)
        known = np.isfinite(matrix[rows, columns])
        values = matrix[rows, columns][known]
        if len(names) == 2:
            records.append({"distance": name, "value": float(values[0])})
            continue
        least = np.flatnonzero(known)[values.argmin()]
        records.append(
            {
                "distance": name,
                "least": float(values.min()),
                "median": float(np.median(values)),
                "most": float(values.max()),
                "nearest": f"{names[rows[least]]} and {names[columns[least]]}",
            }
        )
    return records


def _correlation(relation: Mapping[str, Any]) -> dict[str, str]:
    ends = interval(relation["low"], relation["high"])
    return {"correlation": number(relation["correlation"]), "interval": ends or "-"}


def _write_page(path: Path, found: Similarity, relations: Sequence[Mapping[str, Any]]) -> None:
    count = len(found.table)
    text = [
        f"{count} RNNs, by {len(found.distances)} distances. Each map has an order of its own, in "
        "which alike RNNs are beside each other; point at a field for the two RNNs.",
        *(f"No {name}: {reason}." for name, reason in found.left_out.items()),
        *(f"{each[0].upper()}{each[1:]}." for each in found.notes),
    ]
    predicted = [
        "Spearman's rank correlation over pairs of RNNs, with 95% intervals of a bootstrap over "
        "runs. Where it is high, one distance tells which RNNs are alike by the other."
    ]
    table = pd.DataFrame(
        [{"distances": f"{r['one']} and {r['other']}", **_correlation(r)} for r in relations]
    )
    sections = [Section("Maps", [], [_map(name, found) for name in found.distances])]
    if relations:
        predicted += _few(found)
        charts = [_relation_map(found, relations)]
        predicts = Section("What predicts what", predicted, charts, [("rank correlations", table)])
        sections.insert(0, predicts)
    named = [name for name in found.table.columns if found.table[name].notna().any()]
    rnns = found.table[named].map(shown)
    sections.append(Section("RNNs", [], [], [("in the order of the matrices", rnns)]))
    write_page(path, "How alike RNNs are", text, sections)


def _map(name: str, found: Similarity) -> Chart:
    """Return a heat map of one distance."""
    matrix = found.distances[name]
    order = cluster_order(matrix)
    told = [_told(row) for row in _records(found)]
    words = [[f"{told[i]}<br>{told[j]}" for j in order] for i in order]
    drawn = _heat(matrix[np.ix_(order, order)], words, colorscale="Viridis")
    made = figure("", "", [drawn])
    made.update_xaxes(showticklabels=False)
    made.update_yaxes(showticklabels=False, autorange="reversed")
    return Chart(name, made, height=380)


def _records(found: Similarity) -> list[dict[str, Any]]:
    return [{str(n): v for n, v in row.items()} for row in found.table.to_dict("records")]


def _told(row: Mapping[str, Any]) -> str:
    known = [row[name] for name in _TOLD if name in row and not pd.isna(row[name])]
    return chart_text(", ".join(map(shown, known)))


def _relation_map(found: Similarity, relations: Sequence[Mapping[str, Any]]) -> Chart:
    names = [*found.distances]
    values, words = np.eye(len(names)), [[""] * len(names) for _ in names]
    for each in relations:
        i, j = names.index(each["one"]), names.index(each["other"])
        values[i, j] = values[j, i] = each["correlation"]
        told = " ".join(_correlation(each).values())
        words[i][j] = words[j][i] = f"{chart_text(names[i])}<br>{chart_text(names[j])}<br>{told}"
    scale = {"colorscale": "RdBu", "zmin": -1, "zmax": 1, "reversescale": True}
    drawn = _heat(values, words, **scale)
    labels = [*map(chart_text, names)]
    drawn.update(x=labels, y=labels)
    made = figure("", "", [drawn]).update_yaxes(autorange="reversed")
    return Chart("rank correlations of distances", made, height=420)


def _heat(values: Array, words: Sequence[Sequence[str]], **more: Any) -> go.Heatmap:
    rounded = [[None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in values]
    hover = "%{customdata}<br>%{z}<extra></extra>"
    return go.Heatmap(z=rounded, customdata=words, hovertemplate=hover, **more)
