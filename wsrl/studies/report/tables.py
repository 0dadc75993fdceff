"""Tables of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wsrl.studies.report.ranking import Contest, Ranking
from wsrl.studies.report.reading import COSTS, Benchmark, rows_of
from wsrl.studies.report.words import head_of, interval, number, work_of

_CAPTIONS = {
    "changes": "Relative change of the embedding from one RNN of a pair to the other",
    "tells_apart": "Which pairs of RNNs have different embeddings",
    "parameters": "Parameters by hidden size of the RNNs",
    "seconds": "Seconds of a forward and backward pass by hidden size of the RNNs",
    "growth": "Exponents of the growth with the hidden size",
}


class Value(NamedTuple):
    """What stands in one place of a table: a number, its interval, and which runs it is from.

    It is ``best`` where none is better and some are worse, ``close`` where its interval overlaps
    that of the best.
    """

    text: str = ""
    range: str = ""
    setting: str = ""
    best: bool = False
    close: bool = False
    note: str = ""


class Table(NamedTuple):
    """A table: its head, the column of names included, and the values of each row by name."""

    caption: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Value]]


def main_tables(ranking: Ranking) -> Iterator[Table]:
    """Yield for each zoo the means in the contests that matter most."""
    for zoo in ranking.benchmark.zoos:
        if contests := ranking.lead(zoo):
            yield table(_caption(contests), ranking, contests, means)


def target_tables(ranking: Ranking) -> Iterator[Table]:
    """Yield the means in all contests: a table for each zoo, target and mode."""
    for work in dict.fromkeys(contest[:3] for contest in ranking.found):
        if contests := ranking.contests(*work):
            yield table(work_of(*work), ranking, contests, means)


def difference_tables(ranking: Ranking) -> Iterator[Table]:
    """Yield for each zoo the differences against the encoder compared with."""
    for zoo in ranking.benchmark.zoos:
        contests = ranking.lead(zoo)
        if any(ranking.entries(contest).difference.notna().any() for contest in contests):
            caption = f"{_caption(contests)}: less that of {ranking.benchmark.compare_with}"
            yield table(caption, ranking, contests, differences)


def table(
    caption: str,
    ranking: Ranking,
    contests: Sequence[Contest],
    shown: Callable[[Contest, pd.DataFrame], Mapping[str, Value]],
) -> Table:
    """Return a table of contests; a row for each encoder and baseline."""
    return _table(caption, {c: shown(c, ranking.entries(c)) for c in contests}, "encoder")


def means(contest: Contest, rows: pd.DataFrame) -> dict[str, Value]:
    """Return means with intervals, the best marked, and what overlaps with it."""
    score = contest.direction * rows["mean"].where(np.isfinite(rows["mean"]))
    if score.nunique() < 2:  # where all are equal, none is the best
        return {entry.label: _mean(entry) for entry in rows_of(rows)}
    leader = rows.iloc[int(score.argmax())]
    best = rows["mean"] == leader["mean"]
    close = ~best & (rows.low <= leader.high) & (leader.low <= rows.high)
    marked = zip(rows_of(rows), best, close, strict=True)
    return {entry.label: _mean(entry, *marks) for entry, *marks in marked}


def differences(_: Contest, rows: pd.DataFrame) -> dict[str, Value]:
    """Return differences against the encoder compared with, with verdicts."""
    return {
        entry.label: Value(
            f"{'+' if entry.difference > 0 else ''}{number(entry.difference)}",
            interval(entry.difference_low, entry.difference_high),
            entry.setting,
            best=entry.verdict == "better",
            note="; ".join(filter(None, (entry.verdict, _lost(entry)))),
        )
        if entry.difference_seeds
        else _mean(entry)
        for entry in rows_of(rows)
        if entry.difference_seeds or not entry.values
    }


def rank_table(ranking: Ranking) -> Table | None:
    """Return mean ranks, and how often an encoder is better and worse than the one compared with.

    ``None`` without ranks.
    """
    found = ranking.mean_ranks()
    if found.empty:
        return None
    groups = found.drop(columns="contests")
    rows = {
        str(label): [_rank(value, groups[group]) for group, value in own.items()]
        for label, own in groups.iterrows()
    }
    heads = [str(group) for group in groups]
    if ranking.benchmark.compare_with is not None:
        heads.append("wins, losses")
        counts = ranking.judged().groupby("label").verdict.value_counts()
        for label, values in rows.items():
            certain, leans = (_wins(counts, label, lean) for lean in ("", "leans "))
            values.append(Value(" ".join(filter(None, (certain, leans and f"({leans})")))))
    caption = f"Mean rank, 1 is best, in up to {found.contests.max()} contests"
    return Table(caption, ["encoder", *heads], rows)


def cost_tables(benchmark: Benchmark) -> Iterator[Table]:
    """Yield for each zoo what training took: medians over seeds."""
    runs = benchmark.runs
    runs = runs[(runs.ablation_of == "") & (runs.state == "done") & runs.parameters.notna()]
    for key, work in runs.groupby(["zoo", "target", "mode"], sort=False):
        rows = {
            str(label): [
                Value(f"{v:,.0f}" if v >= 100 else f"{v:,.1f}", setting=own.setting.iloc[0])
                for v in own[list(COSTS)].median()
            ]
            for label, own in work.groupby("label", sort=False)
        }
        heads = [name.replace("_", " ") for name in COSTS]
        caption = f"{work_of(*map(str, key))}: median over seeds"
        yield Table(caption, ["encoder", *heads], rows)


def ablation_tables(ranking: Ranking) -> Iterator[Table]:
    """Yield a table for each zoo, encoder and option that was varied; numbers by size."""
    runs = ranking.benchmark.runs
    varied = runs[runs.ablation_of != ""][["zoo", "ablation_of", "option"]].drop_duplicates()
    for zoo, encoder, option in varied.itertuples(index=False):
        columns: dict[Contest, dict[str, Value]] = {}
        works = ranking.benchmark.works(zoo)[:2]
        for contest in (contest for work in works for contest in ranking.judging(*work)):
            rows = ranking.found[contest]
            own = rows[(rows.ablation_of == encoder) & (rows.option == option)]
            own = own.assign(size=pd.to_numeric(own.option_value, errors="coerce"))
            own = own.sort_values(["size", "option_value"])
            columns[contest] = {entry.option_value: _mean(entry) for entry in rows_of(own)}
            for entry in rows_of(rows[rows.label == encoder]):
                columns[contest]["as in the other tables"] = _mean(entry)
        if columns:
            yield _table(f"{zoo}: {encoder}, {option}", columns, option)


def property_tables(properties: pd.DataFrame) -> Iterator[Table | str]:
    """Yield a table for each group of facts; a sentence where there is one fact, equal for all."""
    for group, own in properties.groupby("group", sort=False):
        caption = _CAPTIONS.get(str(group), str(group).replace("_", " "))
        if (own.fact == group).all() and own["value"].nunique() == 1 and len(own) > 1:
            yield f"{caption}: {own['value'].iloc[0]}."
            continue
        facts = {
            str(encoder): dict(zip(rows.fact, rows["value"], strict=True))
            for encoder, rows in own.groupby("encoder", sort=False)
        }
        yield facts_table(caption, facts, "encoder")


def failed_table(benchmark: Benchmark) -> Table | None:
    """Return the runs that failed, with their errors; ``None`` without any."""
    failed = benchmark.runs[benchmark.runs.state == "failed"]
    rows = {row.folder: [Value(row.error, setting=row.setting)] for row in rows_of(failed)}
    return Table("Runs that failed", ["run", "error"], rows) if rows else None


def facts_table(caption: str, facts: Mapping[str, Mapping[str, str]], corner: str) -> Table:
    """Return a table of facts by the names of its rows and columns."""
    columns = list(dict.fromkeys(name for own in facts.values() for name in own))
    rows = {name: [Value(own.get(c, "")) for c in columns] for name, own in facts.items()}
    return Table(caption, [corner, *columns], rows)


def _caption(contests: Sequence[Contest]) -> str:
    """Say what a table of contests on one zoo shows."""
    zoo = contests[0].zoo
    works = dict.fromkeys(work_of(*contest[:3]).removeprefix(f"{zoo}: ") for contest in contests)
    return f"{zoo}: {', '.join(works)}"


def _table(caption: str, columns: Mapping[Contest, Mapping[str, Value]], corner: str) -> Table:
    names = dict.fromkeys(name for values in columns.values() for name in values)
    rows = {name: [values.get(name, Value()) for values in columns.values()] for name in names}
    heads = [head_of(c.metric, c.split, c.direction) for c in columns]
    return Table(caption, [corner, *heads], rows)


def _mean(entry: Any, best: bool = False, close: bool = False) -> Value:
    if entry.values:
        shown = interval(entry.low, entry.high)
        return Value(number(entry.mean), shown, entry.setting, best, close, _lost(entry))
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
    best = value == column.min() and column.nunique() > 1
    return Value() if pd.isna(value) else Value(f"{value:.2f}", best=best)
