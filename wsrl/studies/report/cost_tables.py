"""Tables of what encoders cost, and of their variants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wsrl.studies.benchmark.results import Cost, Trial
from wsrl.studies.report.layout import Part, Table, Value, head_of
from wsrl.studies.report.reading import Benchmark, distinct, without_seed
from wsrl.studies.report.standings import Contest, Standing
from wsrl.studies.report.tables import contests_of, judges, value_of

_COSTS = (
    "parameters, all",
    "parameters, encoder",
    "steps",
    "seconds",
    "steps per second",
)


def costs(benchmark: Benchmark) -> Iterator[Part]:
    """Yield for each zoo a table of what pre-training and predictions took."""
    for zoo in benchmark.zoos:
        cells = [c for c in benchmark.cells if c.zoo == zoo and c.ablation is None]
        for what in distinct(_work(cell) for cell in cells if cell.kind != "baseline"):
            table = _costs(benchmark, [c for c in cells if _work(c) == what], f"{zoo}: {what}")
            if table.rows:
                yield table


def ablations(benchmark: Benchmark, standings: Sequence[Standing]) -> Iterator[Part]:
    """Yield a table for each zoo, encoder and option that was varied."""
    of_option: dict[tuple[str, str, str], list[Trial]] = {}
    for cell in benchmark.cells:
        if cell.ablation is not None:
            key = (cell.zoo, cell.ablation.of, cell.ablation.option)
            of_option.setdefault(key, []).append(cell)
    for (zoo, encoder, option), cells in of_option.items():
        target = benchmark.main_target(zoo)
        mode = next(iter(benchmark.modes(zoo, target)), None)
        columns = judges(contests_of(standings, zoo, None, None))
        columns += judges(contests_of(standings, zoo, target, mode)) if target else []
        names = {str(c.ablation.value): c.encoder for c in cells if c.ablation}
        rows = [
            (value, _places(standings, columns, name))
            for value, name in sorted(names.items(), key=lambda item: _sortable(item[0]))
        ]
        rows.append(("as in the other tables", _places(standings, columns, encoder)))
        if columns:
            heads = tuple(head_of(c.metric, c.split) for c in columns)
            yield Table(f"{zoo}: {encoder}, {option}", (option, *heads), tuple(rows))


def _work(cell: Trial) -> str:
    return cell.kind if cell.kind != "prediction" else f"{cell.target}, {cell.mode}"


def _costs(benchmark: Benchmark, cells: Sequence[Trial], caption: str) -> Table:
    rows = []
    for encoder in distinct(cell.encoder for cell in cells):
        own = [cell for cell in cells if cell.encoder == encoder]
        found = [c for cell in own if (c := _cost(benchmark, cell)) is not None]
        if found:
            columns = zip(*(_numbers(cost) for cost in found), strict=True)
            # Some were measured beside other work: a mean would show that.
            values = (_short(float(np.median(column))) for column in columns)
            setting = without_seed(own[0])
            rows.append((encoder, tuple(Value(text, setting) for text in values)))
    return Table(f"{caption}: median over seeds", ("encoder", *_COSTS), tuple(rows))


def _cost(benchmark: Benchmark, cell: Trial) -> Cost | None:
    return benchmark.results[cell.name].cost if benchmark.state(cell) == "done" else None


def _numbers(cost: Cost) -> tuple[float, ...]:
    return (
        cost.parameters,
        cost.encoder_parameters,
        cost.steps,
        cost.seconds,
        cost.steps_per_second,
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _places(
    standings: Sequence[Standing], columns: Sequence[Contest], encoder: str
) -> tuple[Value, ...]:
    found = {s.contest: s for s in standings if s.encoder == encoder}
    places = (found.get(contest) for contest in columns)
    return tuple(Value("") if s is None else value_of(s, s.estimate) for s in places)


def _sortable(value: str) -> tuple[float, str]:
    try:
        return (float(value), value)
    except ValueError:
        return (float("inf"), value)
