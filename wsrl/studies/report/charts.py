"""Charts of a report, as Plotly figures without colours and fonts: the page gives them its own.

Text in a figure went through ``words.chart_text``. What the page's script reads of a trace stands
in its ``meta``: ``encoder``, the index in ``Benchmark.entrants`` that gives the colour and that the
filter knows; ``row``, the offset of points from the encoder's row; ``band``, whether it is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from wsrl.studies.report.ranking import Contest, Ranking
from wsrl.studies.report.reading import rows_of
from wsrl.studies.report.words import chart_text, head_of, interval, name_of, number, work_of

_SPLITS = {"circle-open": "○", "circle": "●", "diamond-open": "◇", "diamond": "◆"}
_UNITS = {"seconds": "seconds of pre-training", "encoder_parameters": "parameters of the encoder"}


class Chart(NamedTuple):
    """A chart.

    Attributes:
        encoder: the index of the only encoder that it shows; ``None`` of several.
        group: which of the page's controls work on it; empty for none.
        height: in pixels; ``None`` for the page's own.
    """

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


def dots(ranking: Ranking) -> Iterator[Chart]:
    """Yield means with intervals: a row for each encoder, a symbol for each split."""
    benchmark = ranking.benchmark
    for work, contests in _judged(ranking):
        found = [ranking.entries(contest) for contest in contests]
        found = [rows[np.isfinite(rows["mean"])] for rows in found]
        traces = [
            points(
                [entry.mean],
                [0],
                [_told(entry)],
                error_x=_error(entry.mean, entry.low, entry.high),
                marker={"symbol": list(_SPLITS)[place % len(_SPLITS)], "size": 10},
                meta={
                    "encoder": benchmark.index(entry.label),
                    "row": ((len(contests) - 1) / 2 - place) * 0.3,
                },
            )
            for place, rows in enumerate(found)
            for entry in rows_of(rows)
        ]
        if traces:
            shown = pd.concat(found[::-1]).drop_duplicates("label")
            better = contests[-1].direction > 0  # the worst in the last contest comes first
            shown = shown.sort_values("mean", ascending=better, kind="stable")
            rows = [
                {"encoder": benchmark.index(label), "name": chart_text(label)}
                for label in shown.label
            ]
            pairs = zip(_SPLITS.values(), contests, strict=False)
            legend = ", ".join(f"{symbol} {name_of(contest.split)}" for symbol, contest in pairs)
            head = head_of(contests[0].metric, "", contests[0].direction).strip()
            made = figure(head, "", traces, meta={"rows": rows})
            height = 110 + 34 * len(rows)
            yield Chart(f"{work_of(*work)} ({legend})", made, height=height)


def learning_curves(ranking: Ranking) -> Iterator[Chart]:
    """Yield the metrics during training: an encoder's median over seeds, and its range."""
    for work, contests in _judged(ranking):
        for contest in contests:
            traces = list(_curves(ranking, contest))
            values = np.concatenate([trace.y for trace in traces]) if traces else np.empty(0)
            if len(np.unique(values)) < 2:
                continue
            made = figure("training step", name_of(contest.metric), traces)
            if not contest.target and (values > 0).all():  # losses fall by factors
                made.update_yaxes(type="log")
            yield Chart(f"{work_of(*work)}, {name_of(contest.split)}", made)


def trades(ranking: Ranking, lead: bool = False) -> Iterator[Chart]:
    """Yield for each zoo what encoders cost against how good they are, or the main one of these."""
    for zoo in ranking.benchmark.zoos:
        works = ranking.benchmark.works(zoo)[:2]
        contests = [contest for work in works for contest in ranking.judging(*work)]
        costs = ["seconds"] if lead else list(_UNITS)
        charts = (_trade(ranking, contest, cost) for contest, cost in product(contests, costs))
        found = [chart for chart in charts if chart is not None]
        yield from found[-1:] if lead else found


def _judged(ranking: Ranking) -> Iterator[tuple[tuple[str, str, str], list[Contest]]]:
    """Yield what was trained, and the contests that judge it."""
    for zoo in ranking.benchmark.zoos:
        for work in ranking.benchmark.works(zoo):
            yield work, ranking.judging(*work)


def _error(mean: Any, low: Any, high: Any) -> dict[str, Any]:
    """Return the interval of a mean, or of several, as Plotly takes it."""
    up, down = (np.nan_to_num(np.atleast_1d(size)).tolist() for size in (high - mean, mean - low))
    return {"type": "data", "array": up, "arrayminus": down, "width": 0, "thickness": 1.5}


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


def _curves(ranking: Ranking, contest: Contest) -> Iterator[Any]:
    """Yield a band and a line for each encoder."""
    runs, curves = ranking.benchmark.runs, ranking.benchmark.curves
    place = (runs.zoo == contest.zoo) & (runs.target == contest.target)
    place &= (runs["mode"] == contest.mode) & (runs.ablation_of == "")
    found = curves[(curves.split == contest.split) & (curves.metric == contest.metric)]
    found = found.merge(runs[place][["folder", "label"]], on="folder")
    for label, own in found.groupby("label", sort=False):
        over = own.groupby("step")["value"].agg(["median", "min", "max"]).dropna()
        known = {"encoder": ranking.benchmark.index(str(label))}
        steps = over.index.to_numpy()
        if over["min"].lt(over["max"]).any():
            yield go.Scatter(
                x=np.concatenate([steps, steps[::-1]]),
                y=np.concatenate([over["max"], over["min"][::-1]]),
                fill="toself",
                mode="none",
                hoverinfo="skip",
                meta={**known, "band": True},
            )
        yield go.Scatter(
            x=steps,
            y=over["median"].to_numpy(),
            mode="lines",
            name=chart_text(str(label)),
            customdata=over[["min", "max"]].to_numpy(),
            hovertemplate="step %{x}: %{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})",
            meta=known,
        )


def _trade(ranking: Ranking, contest: Contest, cost: str) -> Chart | None:
    """Draw cost against quality; of those who are not dominated, names and the line between."""
    runs = ranking.benchmark.runs
    trained = runs[(runs.zoo == contest.zoo) & (runs.kind == "emulation") & (runs.state == "done")]
    medians = trained.groupby("label")[cost].median()
    entries = ranking.entries(contest)
    entries = entries.assign(cost=entries.label.map(medians).clip(lower=1e-3))
    entries = entries[entries["cost"].notna() & np.isfinite(entries["mean"])]
    if entries["mean"].nunique() < 2 or not contest.direction:
        return None
    front = _front(entries, contest.direction)
    line = go.Scatter(x=front["cost"], y=front["mean"], mode="lines", hoverinfo="skip")
    traces = [line.update(line={"dash": "dot", "width": 1}, meta={"front": True})]
    named = _apart(front, entries)
    middle = np.sqrt(entries["cost"].min() * entries["cost"].max())
    for entry in rows_of(entries):
        trace = points(
            [entry.cost],
            [entry.mean],
            [f"{_told(entry)}<br>{number(entry.cost)} {_UNITS[cost]}"],
            mode="markers+text" if entry.label in named else "markers",
            text=[chart_text(entry.label)],
            textposition="top right" if entry.cost < middle else "top left",
            cliponaxis=False,
            meta={"encoder": ranking.benchmark.index(entry.label)},
        )
        traces.append(trace)
    made = figure(_UNITS[cost], head_of(contest.metric, contest.split, contest.direction), traces)
    made.update_xaxes(type="log")
    title = f"{work_of(contest.zoo, contest.target, contest.mode)}, {name_of(contest.split)}"
    return Chart(title, made)


def _front(entries: pd.DataFrame, better: int) -> pd.DataFrame:
    """Return the entries that are better than all cheaper ones, the cheapest first."""
    ordered = entries.assign(quality=better * entries["mean"])
    ordered = ordered.sort_values(["cost", "quality"], ascending=[True, False])
    before = ordered.quality.cummax().shift(fill_value=-np.inf)
    return ordered[ordered.quality > before]


def _apart(front: pd.DataFrame, entries: pd.DataFrame) -> set[str]:
    """Return the labels that are written: from the best, those that meet no other."""
    places = pd.DataFrame({"x": np.log(entries["cost"].astype(float)), "y": entries["mean"]})
    places /= (places.max() - places.min()).replace(0.0, 1.0)
    chosen: list[Any] = []
    for place in front.index[::-1]:
        gaps = (places.loc[chosen] - places.loc[place]).abs()
        if (gaps.gt([0.3, 0.12])).any(axis=1).all():
            chosen.append(place)
    return set(front.label[chosen])
