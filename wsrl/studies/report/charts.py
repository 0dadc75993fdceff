"""Drawings of standings, of training and of cost against quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wsrl.analysis.svg import Bar, Cloud, Line, curves, interval_bars, scatter
from wsrl.studies.benchmark.results import Trial
from wsrl.studies.report.layout import Figure, name_of
from wsrl.studies.report.reading import Benchmark, distinct
from wsrl.studies.report.standings import Contest, Standing
from wsrl.studies.report.tables import contests_of, judges

_MOST, _POINTS = 60, 4000  # of a curve, and of a chart: more are not seen


def bars(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Figure]:
    """Yield for each zoo bars of emulation, and of the main target in every mode."""
    for zoo in benchmark.zoos:
        for target, mode in _work(benchmark, zoo):
            columns = judges(contests_of(standings, zoo, target, mode))
            own = [s for s in standings if s.contest in columns and not s.is_variant]
            if any(s.estimate for s in own):
                yield _bars(columns, own)


def learning(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Figure]:
    """Yield for each zoo the curves of emulation, and of the main target in every mode."""
    for zoo in benchmark.zoos:
        for target, mode in _work(benchmark, zoo):
            for contest in judges(contests_of(standings, zoo, target, mode)):
                figure = _curves(benchmark, contest)
                if figure is not None:
                    yield figure


def trades(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Figure]:
    """Yield for each zoo what encoders cost against how good they are."""
    for zoo in benchmark.zoos:
        target = benchmark.main_target(zoo)
        mode = next(iter(benchmark.modes(zoo, target)), None)
        contests = judges(contests_of(standings, zoo, None, None))
        contests += judges(contests_of(standings, zoo, target, mode)) if target else []
        for contest in contests:
            own = [s for s in standings if s.contest == contest and not s.is_variant]
            for attribute, label in (
                ("seconds", "seconds of pre-training"),
                ("encoder_parameters", "parameters of the encoder"),
            ):
                figure = _trade(benchmark, own, attribute, label)
                if figure is not None:
                    yield figure


def title_of(contest: Contest) -> str:
    """Return what a contest is about, in words."""
    work = "emulation" if contest.target is None else f"{name_of(contest.target)}, {contest.mode}"
    return f"{contest.zoo}: {work}"


def _work(benchmark: Benchmark, zoo: str) -> list[tuple[str | None, str | None]]:
    target = benchmark.main_target(zoo)
    modes = benchmark.modes(zoo, target) if target else ()
    return [(None, None), *((target, mode) for mode in modes)]


def _bars(columns: Sequence[Contest], standings: Sequence[Standing]) -> Figure:
    found = {(s.contest, s.encoder): s for s in standings}
    rows = [
        (encoder, [_bar(found.get((contest, encoder))) for contest in columns])
        for encoder in distinct(s.encoder for s in standings)
    ]
    title = title_of(columns[0])
    unit = name_of(columns[0].metric)
    return Figure(title, interval_bars(title, unit, rows, [name_of(c.split) for c in columns]))


def _bar(standing: Standing | None) -> Bar | None:
    if standing is None or standing.estimate is None:
        return None
    found = standing.estimate
    single = tuple(standing.values.values()) if found.seeds > 1 else ()
    return Bar(found.mean, found.low, found.high, single)


def _curves(benchmark: Benchmark, contest: Contest) -> Figure | None:
    """Draw a metric during training: every seed is a line."""
    name = f"{contest.split}/{contest.metric}"
    cells = _trained(benchmark, contest.zoo, contest.target, contest.mode)
    found = [(c.encoder, benchmark.results[c.name].curves.get(name)) for c in cells]
    drawn = [(encoder, curve) for encoder, curve in found if curve and curve[0]]
    if not drawn:
        return None
    count = max(2, min(_MOST, _POINTS // len(drawn)))
    lines = []
    for encoder, curve in drawn:
        chosen = np.unique(np.linspace(0, len(curve[0]) - 1, count).round().astype(int))
        x, y = ([values[i] for i in chosen] for values in curve)
        lines.append(Line(encoder, benchmark.encoders.index(encoder), x, y))
    title = f"{title_of(contest)}, {name_of(contest.split)}"
    positive = not any(value <= 0 for line in lines for value in line.y)
    log = positive and contest.target is None  # losses of emulation fall by factors
    return Figure(title, curves(title, "training step", name_of(contest.metric), lines, log))


def _trade(
    benchmark: Benchmark, standings: Sequence[Standing], attribute: str, label: str
) -> Figure | None:
    clouds = []
    for standing in standings:
        contest = standing.contest
        costs = [
            cost
            for cell in _trained(benchmark, contest.zoo, None, None)
            if cell.encoder == standing.encoder and (cost := benchmark.results[cell.name].cost)
        ]
        if standing.estimate and costs and np.isfinite(standing.estimate.mean):
            x = max(1e-3, float(np.median([getattr(cost, attribute) for cost in costs])))
            style = benchmark.encoders.index(standing.encoder)
            clouds.append(Cloud(standing.encoder, style, [x], [standing.estimate.mean]))
    if not clouds:
        return None
    contest = standings[0].contest
    title = f"{title_of(contest)}, {name_of(contest.split)}"
    return Figure(title, scatter(title, label, name_of(contest.metric), clouds, log=True))


def _trained(
    benchmark: Benchmark, zoo: str, target: str | None, mode: str | None
) -> Iterator[Trial]:
    """Yield the cells of encoders, not of their variants, that were trained to the end."""
    for cell in benchmark.cells:
        own = cell.kind in ("emulation", "prediction") and cell.ablation is None
        where = (cell.zoo, cell.target, cell.mode) == (zoo, target, mode)
        if own and where and benchmark.state(cell) == "done":
            yield cell
