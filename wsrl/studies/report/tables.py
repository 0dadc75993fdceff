"""Tables of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wsrl.studies.report.ranking import Contest, Ranking, direction, mean_ranks, verdict
from wsrl.studies.report.reading import COSTS, Benchmark, rows_of
from wsrl.studies.report.words import head_of, interval, number, work_of


@dataclass(frozen=True)
class Value:
    """What stands in one place of a table.

    Attributes:
        text: the number, as it is shown.
        range: its interval.
        setting: which runs it is from; empty for none.
        best: whether none is better, and some are worse.
        close: whether its interval overlaps that of the best.
        note: what else is to be said, as of seeds that failed.
    """

    text: str = ""
    range: str = ""
    setting: str = ""
    best: bool = False
    close: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        columns: the head, the column of names included.
        rows: the name of each row, and its values.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Value]]]


def main_tables(benchmark: Benchmark, ranking: Ranking) -> Iterator[Table]:
    """Yield for each zoo the means in the contests that matter most."""
    for zoo in benchmark.zoos:
        if contests := ranking.lead(benchmark, zoo):
            yield means(_caption(contests), ranking, contests)


def target_tables(benchmark: Benchmark, ranking: Ranking) -> Iterator[Table]:
    """Yield the means in all contests: a table for each zoo, target and mode."""
    works = dict.fromkeys(contest[:3] for contest in ranking.found)
    for work in works:
        if contests := ranking.contests(*work):
            yield means(work_of(*work), ranking, contests)


def difference_tables(benchmark: Benchmark, ranking: Ranking) -> Iterator[Table]:
    """Yield for each zoo the differences against the encoder compared with."""
    for zoo in benchmark.zoos:
        contests = ranking.lead(benchmark, zoo)
        if contests and any(ranking.entries(c).difference.notna().any() for c in contests):
            caption = f"{_caption(contests)}: less that of {benchmark.compare_with}"
            yield differences(caption, ranking, contests)


def means(caption: str, ranking: Ranking, contests: Sequence[Contest]) -> Table:
    """Return means with intervals, the best marked; a row for each encoder and baseline."""
    found = {contest: ranking.entries(contest) for contest in contests}
    return _table(caption, {c: dict(_means(c, rows)) for c, rows in found.items()})


def differences(caption: str, ranking: Ranking, contests: Sequence[Contest]) -> Table:
    """Return differences against the encoder compared with, with verdicts."""

    def values(contest: Contest) -> Iterator[tuple[str, Value]]:
        for entry in rows_of(ranking.entries(contest)):
            if pd.isna(entry.difference):
                if pd.isna(entry.mean) and not entry.values:
                    yield entry.label, _without_value(entry)
                continue
            word = verdict(entry)
            sign = "+" if entry.difference > 0 else ""
            yield (
                entry.label,
                Value(
                    f"{sign}{number(entry.difference)}",
                    interval(entry.difference_low, entry.difference_high),
                    entry.setting,
                    best=word == "better",
                    note="; ".join(filter(None, (word, _lost(entry)))),
                ),
            )

    return _table(caption, {contest: dict(values(contest)) for contest in contests})


def rank_table(benchmark: Benchmark, ranking: Ranking) -> Table | None:
    """Return mean ranks, and how often an encoder is better and worse than the one compared with.

    ``None`` without ranks.
    """
    found = mean_ranks(ranking)
    if found.empty:
        return None
    groups = [name for name in found.columns if name != "contests"]
    rows = {
        str(label): [_rank(row[group], found[group]) for group in groups]
        for label, row in found.iterrows()
    }
    heads = [*groups]
    if benchmark.compare_with is not None:
        heads.append("wins, losses")
        judged = ranking.judged()
        words = judged.assign(word=[verdict(entry) for entry in rows_of(judged)])
        counts = words.groupby("label").word.value_counts()
        for label, values in rows.items():
            certain, leans = (_wins(counts, label, lean) for lean in ("", "leans "))
            values.append(Value(" ".join(filter(None, (certain, leans and f"({leans})")))))
    caption = f"Mean rank, 1 is best, in up to {found.contests.max()} contests"
    return Table(caption, ["encoder", *heads], list(rows.items()))


def cost_tables(benchmark: Benchmark) -> Iterator[Table]:
    """Yield for each zoo what training took: medians over seeds."""
    runs = benchmark.runs
    runs = runs[(runs.ablation_of == "") & (runs.state == "done") & runs.parameters.notna()]
    for key, work in runs.groupby(["zoo", "target", "mode"], sort=False):
        rows = []
        for label, own in work.groupby("label", sort=False):
            medians = own[list(COSTS)].median()
            texts = [f"{v:,.0f}" if v >= 100 else f"{v:,.1f}" for v in medians]
            rows.append((str(label), [Value(t, setting=own.setting.iloc[0]) for t in texts]))
        heads = [name.replace("_", " ") for name in COSTS]
        caption = f"{work_of(*map(str, key))}: median over seeds"
        yield Table(caption, ["encoder", *heads], rows)


def ablation_tables(benchmark: Benchmark, ranking: Ranking) -> Iterator[Table]:
    """Yield a table for each zoo, encoder and option that was varied."""
    for (zoo, encoder, option), contests in ablations(benchmark, ranking).items():
        columns: dict[Contest, dict[str, Value]] = {}
        for contest in contests:
            rows = ranking.entries(contest, variants=True)
            own = rows[(rows.ablation_of == encoder) & (rows.option == option)]
            own = own.sort_values("option_value", key=lambda values: values.map(option_value))
            named = {r.option_value: _mean(r) for r in rows_of(own)}
            plain = rows[(rows.label == encoder) & (rows.ablation_of == "")]
            others = [_mean(r) for r in rows_of(plain)]
            named |= dict(zip(["as in the other tables"], others, strict=False))
            columns[contest] = named
        table = _table(f"{zoo}: {encoder}, {option}", columns)
        yield Table(table.caption, [option, *table.columns[1:]], table.rows)


def ablations(benchmark: Benchmark, ranking: Ranking) -> dict[tuple[str, str, str], list[Contest]]:
    """Return the zoos, encoders and options that were varied, and the contests that judge them."""
    runs = benchmark.runs[benchmark.runs.ablation_of != ""]
    found = {}
    for zoo, encoder, option in dict.fromkeys(
        zip(runs.zoo, runs.ablation_of, runs.option, strict=True)
    ):
        works = benchmark.works(zoo)[:2]
        contests = [c for target, mode in works for c in ranking.judging(zoo, target, mode)]
        if contests:
            found[zoo, encoder, option] = contests
    return found


def option_value(text: str) -> tuple[float, str]:
    """Return what sorts the values of an option: numbers by size, then text."""
    try:
        return (float(text), text)
    except ValueError:
        return (float("inf"), text)


def failed_table(benchmark: Benchmark) -> Table | None:
    """Return the runs that failed, with their errors; ``None`` without any."""
    failed = benchmark.runs[benchmark.runs.state == "failed"]
    rows = [(row.folder, [Value(row.error, setting=row.setting)]) for row in rows_of(failed)]
    return Table("Runs that failed", ["run", "error"], rows) if rows else None


def facts_table(caption: str, facts: Mapping[str, Mapping[str, str]], corner: str) -> Table:
    """Return a table of facts by the names of its rows and columns."""
    columns = list(dict.fromkeys(name for own in facts.values() for name in own))
    rows = [(name, [Value(own.get(c, "")) for c in columns]) for name, own in facts.items()]
    return Table(caption, [corner, *columns], rows)


def _caption(contests: Sequence[Contest]) -> str:
    """Say what a table of contests on one zoo shows."""
    works = dict.fromkeys(contest[:3] for contest in contests)
    words = [work_of(*work).removeprefix(f"{contests[0].zoo}: ") for work in works]
    return f"{contests[0].zoo}: {', '.join(words)}"


def _table(caption: str, columns: Mapping[Contest, Mapping[str, Value]]) -> Table:
    names = dict.fromkeys(name for values in columns.values() for name in values)
    rows = [(name, [values.get(name, Value()) for values in columns.values()]) for name in names]
    heads = [head_of(contest.metric, contest.split) for contest in columns]
    return Table(caption, ["encoder", *heads], rows)


def _means(contest: Contest, rows: pd.DataFrame) -> Iterator[tuple[str, Value]]:
    score = direction(contest) * rows["mean"].where(np.isfinite(rows["mean"]))
    some_better = score.nunique() > 1  # where all are equal, none is the best
    leader: Any = rows.iloc[int(score.argmax())] if some_better else None
    for entry in rows_of(rows):
        best = leader is not None and entry.mean == leader["mean"]
        close = leader is not None and not best
        close = close and bool(entry.low <= leader["high"] and leader["low"] <= entry.high)
        yield str(entry.label), _mean(entry, best, close)


def _mean(entry: Any, best: bool = False, close: bool = False) -> Value:
    if not entry.values:
        return _without_value(entry)
    shown = interval(entry.low, entry.high)
    return Value(number(entry.mean), shown, entry.setting, best, close, _lost(entry))


def _without_value(entry: Any) -> Value:
    text = "failed" if entry.failed else "missing" if entry.missing else "none"
    note = _lost(entry) if entry.failed and entry.missing else ""
    return Value(text, setting=entry.setting, note=note)


def _lost(entry: Any) -> str:
    """Say how many seeds are not in a mean; empty where all are."""
    counts = {"failed": entry.failed, "missing": entry.missing}
    lost = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{lost} of {entry.seeds + entry.failed + entry.missing} seeds" if lost else ""


def _wins(counts: pd.Series[int], label: str, lean: str) -> str:
    signs = {"+": "better", "-": "worse"}
    found = {sign: counts.get((label, lean + word), 0) for sign, word in signs.items()}
    return " ".join(f"{sign}{count}" for sign, count in found.items() if count)


def _rank(value: Any, column: pd.Series[float]) -> Value:
    if pd.isna(value):
        return Value()
    best = value == column.min() and column.nunique() > 1
    return Value(f"{value:.2f}", best=best)
