"""Charts of a report, as Plotly figures without colours and fonts: the page gives them its own.

Text in a figure went through ``words.chart_text``. What the page's script reads of a trace stands
in its ``meta``: ``encoder``, the index in ``Benchmark.entrants`` that gives the colour and that the
filter knows; ``row``, the offset of points from the encoder's row; ``band``, whether it is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from wsrl.studies.report.ranking import Contest, Ranking, direction
from wsrl.studies.report.reading import Benchmark, rows_of
from wsrl.studies.report.tables import ablations, option_value
from wsrl.studies.report.words import chart_text, head_of, interval, name_of, number, work_of

_MOST = 60  # points of a curve: more are not seen
_SPLITS = ("circle-open", "circle", "diamond-open", "diamond")


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: its caption.
        figure: the figure.
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


def dots(benchmark: Benchmark, ranking: Ranking) -> Iterator[Chart]:
    """Yield means with intervals: a row for each encoder, a symbol for each split."""
    for zoo in benchmark.zoos:
        for work in benchmark.works(zoo):
            contests = ranking.judging(zoo, *work)
            rows = _rows(benchmark, ranking, contests)
            traces = [
                _dot(benchmark, entry, contest, place, (place - (len(contests) - 1) / 2) * 0.3)
                for place, contest in enumerate(contests)
                for entry in rows_of(ranking.entries(contest))
                if entry.values and np.isfinite(entry.mean)
            ]
            if not traces:
                continue
            splits = [name_of(contest.split) for contest in contests]
            symbols = ("○", "●", "◇", "◆")
            legend = ", ".join(map("{} {}".format, symbols, splits))
            head = head_of(contests[0].metric, "").strip()
            made = figure(head, "", traces, meta={"rows": rows})
            height = 110 + 34 * len(rows)
            yield Chart(f"{work_of(zoo, *work)} ({legend})", made, height=height)


def learning_curves(benchmark: Benchmark, ranking: Ranking) -> Iterator[Chart]:
    """Yield the metrics during training: an encoder's median over seeds, and its range."""
    for zoo in benchmark.zoos:
        for work in benchmark.works(zoo):
            for contest in ranking.judging(zoo, *work):
                traces = list(_curves(benchmark, contest))
                values = np.concatenate([trace.y for trace in traces]) if traces else np.empty(0)
                if len(np.unique(values)) < 2:
                    continue
                made = figure("training step", name_of(contest.metric), traces)
                if not contest.target and (values > 0).all():  # losses fall by factors
                    made.update_yaxes(type="log")
                yield Chart(f"{work_of(zoo, *work)}, {name_of(contest.split)}", made)


def lead_trades(benchmark: Benchmark, ranking: Ranking) -> Iterator[Chart]:
    """Yield for each zoo the main result of its last split against seconds of pre-training."""
    for zoo in benchmark.zoos:
        for work in reversed(benchmark.works(zoo)[:2]):
            contests = ranking.judging(zoo, *work)
            chart = _trade(benchmark, ranking, contests[-1], "seconds") if contests else None
            if chart is not None:
                yield chart
                break


def trades(benchmark: Benchmark, ranking: Ranking) -> Iterator[Chart]:
    """Yield for each zoo what encoders cost against how good they are."""
    for zoo in benchmark.zoos:
        for work in benchmark.works(zoo)[:2]:
            for contest in ranking.judging(zoo, *work):
                for cost in ("seconds", "encoder_parameters"):
                    chart = _trade(benchmark, ranking, contest, cost)
                    if chart is not None:
                        yield chart


def ablation_charts(benchmark: Benchmark, ranking: Ranking) -> Iterator[Chart]:
    """Yield how results change with an option of an encoder."""
    for (zoo, encoder, option), contests in ablations(benchmark, ranking).items():
        for contest in contests:
            rows = ranking.entries(contest, variants=True)
            own = rows[
                (rows.ablation_of == encoder) & (rows.option == option) & rows["mean"].notna()
            ]
            if len(own) < 2:
                continue
            own = own.sort_values("option_value", key=lambda values: values.map(option_value))
            trace = go.Scatter(
                x=[chart_text(value) for value in own.option_value],
                y=own["mean"],
                error_y=_error(own["mean"], own["low"], own["high"]),
                text=[_told(entry) for entry in rows_of(own)],
                mode="lines+markers",
                hovertemplate="%{text}<extra></extra>",
                meta={"encoder": _index(benchmark, encoder)},
            )
            made = figure(option, head_of(contest.metric, contest.split), [trace])
            made.update_xaxes(type="category")
            title = f"{work_of(zoo, contest.target, contest.mode)}: {encoder}, {option}"
            yield Chart(title, made, encoder=_index(benchmark, encoder))


def _index(benchmark: Benchmark, label: str) -> int | None:
    return benchmark.entrants.index(label) if label in benchmark.entrants else None


def _rows(
    benchmark: Benchmark, ranking: Ranking, contests: Sequence[Contest]
) -> list[dict[str, Any]]:
    """Return the rows of a chart from its bottom: the worst in the last contest comes first."""
    if not contests:
        return []
    found = pd.concat([ranking.entries(contest) for contest in contests[::-1]])
    found = found[found["mean"].notna()].drop_duplicates("label")
    found = found.sort_values("mean", ascending=direction(contests[-1]) > 0, kind="stable")
    return [
        {"encoder": _index(benchmark, label), "name": chart_text(label)} for label in found.label
    ]


def _dot(benchmark: Benchmark, entry: Any, contest: Contest, place: int, offset: float) -> Any:
    return go.Scatter(
        x=[entry.mean],
        y=[0],
        error_x=_error(entry.mean, entry.low, entry.high),
        mode="markers",
        marker={"symbol": _SPLITS[place % len(_SPLITS)], "size": 10},
        text=[_told(entry)],
        hovertemplate="%{text}<extra></extra>",
        meta={"encoder": _index(benchmark, entry.label), "row": -offset},
    )


def _error(mean: Any, low: Any, high: Any) -> dict[str, Any]:
    """Return the interval of a mean, or of several, as Plotly takes it."""
    up, down = (np.nan_to_num(np.atleast_1d(size)).tolist() for size in (high - mean, mean - low))
    return {"type": "data", "array": up, "arrayminus": down, "width": 0, "thickness": 1.5}


def _told(entry: Any) -> str:
    """Say all that is known of an entry, when one points at it."""
    shown = interval(entry.low, entry.high)
    lines = [
        f"<b>{chart_text(entry.label)}</b>",
        chart_text(f"{name_of(entry.metric)}, {name_of(entry.split)}: {number(entry.mean)}"),
        f"95% interval {shown}" if shown else "",
        f"{entry.seeds} seeds: {', '.join(map(number, entry.values.values()))}",
        f"rank {entry.rank:g}" if not pd.isna(entry.rank) else "",
    ]
    return "<br>".join(filter(None, lines))


def _curves(benchmark: Benchmark, contest: Contest) -> Iterator[Any]:
    """Yield a band and a line for each encoder."""
    runs, curves = benchmark.runs, benchmark.curves
    place = (runs.zoo == contest.zoo) & (runs.target == contest.target)
    own = runs[place & (runs["mode"] == contest.mode) & (runs.ablation_of == "")]
    points = curves[(curves.split == contest.split) & (curves.metric == contest.metric)]
    points = points.merge(own[["folder", "label"]], on="folder")
    for label, found in points.groupby("label", sort=False):
        over = found.groupby("step")["value"].agg(["median", "min", "max"]).dropna()
        if len(over) > _MOST:
            over = over.iloc[np.linspace(0, len(over) - 1, _MOST).round().astype(int)]
        known = {"encoder": _index(benchmark, str(label))}
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


def _trade(benchmark: Benchmark, ranking: Ranking, contest: Contest, cost: str) -> Chart | None:
    """Draw cost against quality; of those who are not dominated, names and the line between."""
    runs = benchmark.runs
    trained = runs[(runs.zoo == contest.zoo) & (runs.kind == "emulation") & (runs.state == "done")]
    medians = trained.groupby("label")[cost].median()
    entries = ranking.entries(contest)
    entries = entries.assign(cost=entries.label.map(medians).clip(lower=1e-3))
    entries = entries[entries["cost"].notna() & np.isfinite(entries["mean"])]
    if entries["mean"].nunique() < 2 or not direction(contest):
        return None
    front = _front(entries, direction(contest))
    unit = {"seconds": "seconds of pre-training", "encoder_parameters": "parameters of the encoder"}
    line = go.Scatter(x=front["cost"], y=front["mean"], mode="lines", hoverinfo="skip")
    line.update(line={"dash": "dot", "width": 1}, meta={"front": True})
    traces = [line]
    named_ones = _apart(front, entries)
    middle = np.sqrt(entries["cost"].min() * entries["cost"].max())
    for entry in rows_of(entries):
        named = entry.label in named_ones
        traces.append(
            go.Scatter(
                x=[entry.cost],
                y=[entry.mean],
                mode="markers+text" if named else "markers",
                text=[chart_text(entry.label)],
                textposition="top right" if entry.cost < middle else "top left",
                cliponaxis=False,
                customdata=[f"{_told(entry)}<br>{number(entry.cost)} {unit[cost]}"],
                hovertemplate="%{customdata}<extra></extra>",
                meta={"encoder": _index(benchmark, entry.label)},
            )
        )
    made = figure(unit[cost], head_of(contest.metric, contest.split), traces)
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
    every = entries[["cost", "mean"]].astype(float).to_numpy()
    points = front[["cost", "mean"]].astype(float).to_numpy()
    sizes = np.log(every[:, 0].max() / every[:, 0].min()), np.ptp(every[:, 1])
    x, y = np.log(points[:, 0]) / (sizes[0] or 1.0), points[:, 1] / sizes[1]
    chosen: list[int] = []
    for place in range(len(front) - 1, -1, -1):
        gaps = [(abs(x[place] - x[k]), abs(y[place] - y[k])) for k in chosen]
        if all(along > 0.3 or up > 0.12 for along, up in gaps):
            chosen.append(place)
    return set(front.label.iloc[chosen])
