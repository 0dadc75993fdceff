"""Charts of a report, as Plotly figures without colours and fonts: the page gives them its own.

Text in a figure went through ``words.chart_text``. What the page's script reads of a trace stands
in its ``meta``: ``encoder``, the index in ``Benchmark.entrants`` that gives the colour and that the
filter knows; ``hue``, the index of a colour where there are no encoders; ``row``, the offset of
points from the encoder's row; ``band``, whether it is one.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from wsrl.studies.report.ranking import CONTEST, WORK
from wsrl.studies.report.reading import Benchmark, groups, rows_of
from wsrl.studies.report.words import chart_text, head_of, interval, name_of, number, work_of

_SPLITS = {"circle-open": "○", "circle": "●", "diamond-open": "◇", "diamond": "◆"}
_UNITS = {"seconds": "seconds of pre-training", "encoder_parameters": "parameters of the encoder"}


class Chart(NamedTuple):
    """A chart; ``encoder`` is the only one in it, ``group`` the controls that work on it."""

    title: str
    figure: go.Figure
    encoder: int | None = None
    group: str = ""
    height: int | None = None


def figure(x: str, y: str, traces: Sequence[Any] = (), **layout: Any) -> go.Figure:
    """Return a figure with titled axes."""
    # Without Plotly's template, whose colours are of one scheme only.
    made = go.Figure(list(traces), {"template": None, **layout})
    return made.update_xaxes(title_text=chart_text(x)).update_yaxes(title_text=chart_text(y))


def points(x: Any, y: Any, told: Sequence[str], **more: Any) -> go.Scatter:
    """Return points and their hover texts."""
    hover = "%{customdata}<extra></extra>"
    options = {"mode": "markers", "customdata": list(told), "hovertemplate": hover} | more
    return go.Scatter(x=x, y=y, **options)


def dots(ranking: pd.DataFrame) -> Iterator[Chart]:
    """Yield means with intervals: a row for each encoder, a symbol for each split."""
    for work, own in _judged(ranking):
        own = own[np.isfinite(own["mean"])]
        if own.empty:
            continue
        places = {split: place for place, split in enumerate(own.split.unique())}
        # The worst on the last split comes first.
        last = own[::-1].drop_duplicates("label").assign(score=own["mean"] * own.better)
        rows = [
            {"encoder": entry.entrant, "name": chart_text(entry.label)}
            for entry in rows_of(last.sort_values("score", kind="stable"))
        ]
        traces = [_dot(entry, places[entry.split], len(places)) for entry in rows_of(own)]
        pairs = zip(_SPLITS.values(), places, strict=False)
        legend = ", ".join(f"{symbol} {name_of(split)}" for symbol, split in pairs)
        head = head_of(own.metric.iloc[0], "", own.better.iloc[0])
        made = figure(head, "", traces, meta={"rows": rows})
        yield Chart(f"{work_of(*work)} ({legend})", made, height=110 + 34 * len(rows))


def _dot(entry: Any, place: int, places: int) -> go.Scatter:
    high, low = np.nan_to_num([entry.high - entry.mean, entry.mean - entry.low])
    error = {"type": "data", "array": [high], "arrayminus": [low], "width": 0, "thickness": 1.5}
    meta = {"encoder": entry.entrant, "row": ((places - 1) / 2 - place) * 0.3}
    marker = {"symbol": list(_SPLITS)[place % len(_SPLITS)], "size": 10}
    return points([entry.mean], [0], [_told(entry)], error_x=error, marker=marker, meta=meta)


def learning_curves(ranking: pd.DataFrame, benchmark: Benchmark) -> Iterator[Chart]:
    """Yield the metrics during training: an encoder's median over seeds, and its range."""
    runs = benchmark.runs[benchmark.runs.ablation_of == ""]
    curves = benchmark.curves.merge(runs[["folder", "label", *WORK]], on="folder")
    wanted = ranking[ranking.judged & (ranking.main >= 0)][CONTEST].drop_duplicates()
    for contest, own in groups(wanted.merge(curves, on=CONTEST), CONTEST):
        if own["value"].nunique() < 2:
            continue
        *work, split, metric = contest
        over = own.groupby(["label", "step"], sort=False)["value"].agg(["median", "min", "max"])
        traces = [
            trace
            for label, found in groups(over.dropna().reset_index(), "label")
            for trace in _curve(found, {"encoder": benchmark.entrants.index(label)}, label)
        ]
        made = figure("training step", name_of(metric), traces)
        if not work[1] and (own["value"] > 0).all():  # losses fall by factors
            made.update_yaxes(type="log")
        yield Chart(f"{work_of(*work)}, {name_of(split)}", made)


def _curve(over: pd.DataFrame, known: dict[str, Any], label: str) -> Iterator[go.Scatter]:
    """Yield a band, where seeds differ, and a line."""
    over = over.sort_values("step")
    if over["min"].lt(over["max"]).any():
        x = pd.concat([over.step, over.step[::-1]])
        y = pd.concat([over["max"], over["min"][::-1]])
        band = {"fill": "toself", "mode": "none", "hoverinfo": "skip"}
        yield go.Scatter(x=x, y=y, meta={**known, "band": True}, **band)
    hover = "step %{x}: %{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})"
    told = {"customdata": over[["min", "max"]], "hovertemplate": hover, "name": chart_text(label)}
    yield go.Scatter(x=over.step, y=over["median"], mode="lines", meta=known, **told)


def trades(ranking: pd.DataFrame, benchmark: Benchmark) -> Iterator[Chart]:
    """Yield what encoders cost against how good they are."""
    runs = benchmark.runs
    trained = runs[(runs.kind == "emulation") & (runs.state == "done")]
    medians = trained.groupby(["zoo", "label"])[list(_UNITS)].median().clip(lower=1e-3)
    found = ranking[np.isfinite(ranking["mean"]) & ranking.main.isin((0, 1))]
    for work, rows in _judged(found):
        for (split, metric), own in groups(rows, ["split", "metric"]):
            entries = own.merge(medians.dropna().reset_index(), on=["zoo", "label"])
            if entries["mean"].nunique() < 2:
                continue
            for cost, unit in _UNITS.items():
                front = _front(entries, cost)
                named = set(front.label)
                line = {"mode": "lines", "hoverinfo": "skip", "meta": {"front": True}}
                traces = [go.Scatter(x=front[cost], y=front["mean"], **line)]
                traces += [_mark(entry, cost, entry.label in named) for entry in rows_of(entries)]
                made = figure(unit, head_of(metric, split, own.better.iloc[0]), traces)
                made.update_xaxes(type="log")
                yield Chart(f"{work_of(*work)}, {name_of(split)}", made)


def _mark(entry: Any, cost: str, named: bool) -> go.Scatter:
    value = float(getattr(entry, cost))
    return points(
        [value],
        [entry.mean],
        [f"{_told(entry)}<br>{number(value)} {_UNITS[cost]}"],
        mode="markers+text" if named else "markers",
        text=[chart_text(entry.label)],
        textposition="top center",
        cliponaxis=False,
        meta={"encoder": entry.entrant},
    )


def _front(entries: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return the entries that are better than all cheaper ones, the cheapest first."""
    ordered = entries.assign(quality=entries.better * entries["mean"])
    ordered = ordered.sort_values([cost, "quality"], ascending=[True, False])
    before = ordered.quality.cummax().shift(fill_value=-np.inf)
    return ordered[ordered.quality > before]


def _judged(ranking: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield what was trained, and by what encoders are judged on it, without variants."""
    found = ranking[ranking.judged & (ranking.main >= 0) & (ranking.ablation_of == "")]
    return groups(found, WORK)


def _told(entry: Any) -> str:
    """Say all that is known of an entry."""
    shown = interval(entry.low, entry.high)
    lines = [
        f"<b>{chart_text(entry.label)}</b>",
        chart_text(f"{name_of(entry.metric)}, {name_of(entry.split)}: {number(entry.mean)}"),
        f"95% interval {shown}" if shown else "",
        f"{entry.seeds} seeds: {', '.join(map(number, entry.values.values()))}",
        f"rank {entry.rank:g}" if not pd.isna(entry.rank) else "",
    ]
    return "<br>".join(filter(None, lines))
