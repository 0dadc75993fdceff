"""State spaces of RNNs as charts: what they visit, and the points, lines and cycles there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

from wsrl.analysis.figures import principal_components
from wsrl.studies.report.charts import Chart, figure
from wsrl.studies.report.pages import Section
from wsrl.studies.report.words import chart_text
from wsrl.studies.tables import shown

_KINDS = {
    "stable": (2, "circle"),
    "unstable": (1, "x"),
    "marginal": (0, "square"),
    "slow": (4, "diamond"),
}
"""Hue and symbol of points; the symbols are among those that Plotly has in three dimensions."""

_SUMMARY = [
    *("n_stable", "n_unstable", "n_slow", "max_unstable_directions", "has_line", "has_ring"),
    *("has_cycle", "n_attractors_reached", "settled"),
]

_READING = (
    "Small dots are states that the RNN visits on its sequences. Circles are stable fixed points, "
    "crosses unstable ones, squares those with a mode that neither grows nor decays, diamonds slow "
    "points. Thin lines lead from unstable points to what attracts a trajectory from there; thick "
    "ones are line attractors, rings and limit cycles. Point at a mark for its numbers.",
)


def sections(
    parts: Sequence[Mapping[str, Any]], tensors: Sequence[Mapping[str, Tensor]], components: int
) -> list[Section]:
    """Return the sections of a page on the dynamics of a zoo.

    Args:
        parts: each with records of ``rnns`` and of their ``points``.
        tensors: of each part the ``states (P, n)`` of its points, in their order; and of the RNNs
            that are drawn ``{row}.visited``, ``{row}.line.{i}`` and ``{row}.cycle.{i}``, each
            ``(m, n)``.
        components: principal components, 2 or 3.
    """
    rnns = pd.DataFrame([record for part in parts for record in part["rnns"]])
    means = rnns.groupby("step")[_SUMMARY].mean().reset_index()
    table = means.rename(columns=lambda name: name.replace("_", " ")).map(shown)
    charts = [
        _chart(record, part["points"], held, components)
        for part, held in zip(parts, tensors, strict=True)
        for record in part["rnns"]
        if f"{record['row']}.visited" in held
    ]
    found = [Section("Means by training step", tables=[("All RNNs", table)])]
    return [*found, Section("State spaces", text=_READING, charts=charts)]


def _chart(
    record: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    held: Mapping[str, Tensor],
    components: int,
) -> Chart:
    """Draw the state space of one RNN in the principal components of its visited states."""
    row = record["row"]
    own = [index for index, point in enumerate(points) if point["row"] == row]
    curves = [name for name in held if name.startswith((f"{row}.line.", f"{row}.cycle."))]
    blocks = [held[f"{row}.visited"], held["states"][own], *(held[name] for name in curves)]
    states = np.concatenate([block.numpy() for block in blocks])
    visited = np.arange(len(states)) < len(blocks[0])
    places, shares = principal_components(states, visited, components)
    placed = np.split(places, np.cumsum([len(block) for block in blocks])[:-1])
    traces = list(_traces(placed, [points[index] for index in own], curves))
    titles = [f"{share:.0%} of the variance" for share in shares]
    made = figure(titles[0], titles[1], traces)
    if components == 3:
        axes = {
            f"{axis}axis": {"title": {"text": t}} for axis, t in zip("xyz", titles, strict=True)
        }
        made.update_layout(scene=axes)
    words = f"row {row}, {record['name']}: {shown(record['performance'])}"
    return Chart(chart_text(words), made, height=460 if components == 3 else 360)


def _traces(
    placed: Sequence[Any], points: Sequence[Mapping[str, Any]], curves: Sequence[str]
) -> Iterator[Any]:
    visited, where, *lines = placed
    dots = {"size": 3, "opacity": 0.4}
    yield _trace(visited, mode="markers", marker=dots, hoverinfo="skip")
    for name, curve in zip(curves, lines, strict=True):
        _, kind, index = name.split(".")
        hue, told = (0, "line attractor") if kind == "line" else (3, "limit cycle")
        text = [f"{told} {index}"] * len(curve)
        yield _trace(curve, text, mode="lines", line={"width": 4}, meta={"hue": hue})
    centres = {
        name.partition(".")[2].replace(".", " "): c for name, c in zip(curves, lines, strict=True)
    }
    for point, at in zip(points, where, strict=True):
        for target in filter(None, point["leads_to"].split("; ")):
            kind, _, index = target.partition(" ")
            ends = where[[int(index)]] if kind == "point" else centres.get(target)
            if ends is not None:
                nearest = ends[np.linalg.norm(ends - at, axis=1).argmin()]
                way, thin = np.stack([at, nearest]), {"width": 1}
                yield _trace(way, mode="lines", line=thin, hoverinfo="skip")
    for kind, (hue, symbol) in _KINDS.items():
        own = [place for place, point in enumerate(points) if point["kind"] == kind]
        if own:
            hover = [_told(points[place]) for place in own]
            mark = {"symbol": symbol, "size": 8}
            yield _trace(where[own], hover, mode="markers", marker=mark, meta={"hue": hue})


def _trace(places: Any, told: Sequence[str] = (), **more: Any) -> Any:
    """Return points ``(m, 2)`` or ``(m, 3)`` with their hover texts."""
    if told:
        more |= {"customdata": list(told), "hovertemplate": "%{customdata}<extra></extra>"}
    axes = dict(zip("xyz", places.round(4).T, strict=False))
    return (go.Scatter3d if len(axes) == 3 else go.Scatter)(**axes, **more)


def _told(point: Mapping[str, Any]) -> str:
    lines = [
        f"<b>point {point['point']}: {point['kind']}</b>",
        f"speed {point['speed']:.2g} a step",
        f"{point['unstable_directions']} unstable directions",
        f"slowest mode: {shown(point['time_constant'])} steps",
        f"{point['share']:.0%} of the visited states lead here",
    ]
    return "<br>".join([*lines, f"leads to {point['leads_to']}"] if point["leads_to"] else lines)
