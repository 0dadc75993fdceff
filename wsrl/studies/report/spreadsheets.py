"""The numbers as CSV: every one of them, and their summary over seeds."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from wsrl.analysis.comparison import Estimate
from wsrl.studies.benchmark.results import CELLS, Cell
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.standings import Standing

RESULTS = (
    *("zoo", "kind", "encoder", "target", "mode", "ablation_of", "option", "option_value", "seed"),
    *("split", "metric", "value", "state", "error", "folder", "command"),
)
SUMMARY = (
    *("zoo", "encoder", "kind", "target", "mode", "split", "metric"),
    *("mean", "low", "high", "seeds", "failed", "missing", "rank"),
    *("difference", "difference_low", "difference_high", "difference_seeds"),
)


def results_csv(benchmark: Benchmark) -> str:
    """Return a row for each number of each cell; of a cell without numbers a row that says why."""
    return _csv(RESULTS, (row for cell in benchmark.cells for row in _rows(benchmark, cell)))


def summary_csv(standings: Iterable[Standing]) -> str:
    """Return a row for each standing; differences are against the encoder compared with."""
    return _csv(SUMMARY, (_summary(standing) for standing in standings))


def _rows(benchmark: Benchmark, cell: Cell) -> Iterator[Sequence[Any]]:
    ablation = cell.ablation
    variant = (ablation.of, ablation.option, ablation.value) if ablation else ("", "", "")
    about = (cell.zoo, cell.kind, cell.encoder, cell.target, cell.mode, *variant, cell.seed)
    result = benchmark.results.get(cell.name)
    commands = " && ".join(result.commands) if result else ""
    error = (result.error if result else None) or ""
    made_by = (benchmark.state(cell), error, f"{CELLS}/{cell.name}", commands)
    metrics = benchmark.metrics(cell)
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        yield (*about, split, metric, repr(value), *made_by)
    if not metrics:
        yield (*about, "", "", "", *made_by)


def _summary(standing: Standing) -> Sequence[Any]:
    contest = standing.contest
    return (
        *(contest.zoo, standing.encoder, standing.kind, contest.target, contest.mode),
        *(contest.split, contest.metric, *_estimate(standing.estimate)),
        *(standing.failed, standing.states.count("missing"), standing.rank),
        *_estimate(standing.difference),
    )


def _estimate(found: Estimate | None) -> Sequence[Any]:
    return ("", "", "", 0) if found is None else (found.mean, found.low, found.high, found.seeds)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()
