"""The numbers as CSV: every one of them, their summary over seeds, and the runs behind them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from io import StringIO
from typing import Any

from wsrl.analysis.comparison import Estimate
from wsrl.studies.benchmark.results import TRIALS, Cost, Trial
from wsrl.studies.report.reading import Benchmark, has_seed
from wsrl.studies.report.standings import Standing
from wsrl.studies.tables import spreadsheet_cell

CELL = ("zoo", "kind", "encoder", "target", "mode", "ablation_of", "option", "option_value", "seed")
RESULTS = (*CELL, "split", "metric", "value", "folder")
RUNS = (
    *("folder", *CELL, "state", "error", "wall_seconds"),
    *(field.name for field in fields(Cost)),
    "command",
)
SUMMARY = (
    *("zoo", "encoder", "kind", "target", "mode", "split", "metric"),
    *("mean", "low", "high", "seeds", "failed", "missing", "rank"),
    *("difference", "difference_low", "difference_high", "difference_seeds", "p_value"),
)


def results_csv(benchmark: Benchmark) -> str:
    """Return a row for each number of each run that ended well."""
    rows = (
        (*_about(cell), *_split_and_metric(name), value, _folder(cell))
        for cell in benchmark.cells
        for name, value in benchmark.metrics(cell).items()
    )
    return _csv(RESULTS, rows)


def runs_csv(benchmark: Benchmark) -> str:
    """Return a row for each run, planned or done: how it ended, its cost and its commands."""
    return _csv(RUNS, (_run(benchmark, cell) for cell in benchmark.cells))


def summary_csv(standings: Iterable[Standing]) -> str:
    """Return a row for each standing; differences are against the encoder compared with."""
    return _csv(SUMMARY, (_summary(standing) for standing in standings))


def _about(cell: Trial) -> Sequence[Any]:
    ablation = cell.ablation
    variant = (ablation.of, ablation.option, ablation.value) if ablation else ("", "", "")
    seed = cell.seed if has_seed(cell) else ""
    return (cell.zoo, cell.kind, cell.encoder, cell.target, cell.mode, *variant, seed)


def _folder(cell: Trial) -> str:
    return f"{TRIALS}/{cell.name}"


def _split_and_metric(name: str) -> tuple[str, str]:
    split, _, metric = name.partition("/")
    return split, metric


def _run(benchmark: Benchmark, cell: Trial) -> Sequence[Any]:
    about = (_folder(cell), *_about(cell), benchmark.state(cell))
    result = benchmark.results.get(cell.name)
    if result is None:
        return (*about, *[""] * (len(RUNS) - len(about)))
    cost = astuple(result.cost) if result.cost else ("",) * len(fields(Cost))
    return (*about, result.error, result.wall_seconds, *cost, " && ".join(result.commands))


def _summary(standing: Standing) -> Sequence[Any]:
    contest = standing.contest
    return (
        *(contest.zoo, standing.encoder, standing.kind, contest.target, contest.mode),
        *(contest.split, contest.metric, *_estimate(standing.estimate)),
        *(standing.failed, standing.states.count("missing"), standing.rank),
        *_estimate(standing.difference),
        standing.difference.p_value if standing.difference else "",
    )


def _estimate(found: Estimate | None) -> Sequence[Any]:
    return ("", "", "", 0) if found is None else (found.mean, found.low, found.high, found.seeds)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([spreadsheet_cell(value) for value in row] for row in rows)
    return file.getvalue()
