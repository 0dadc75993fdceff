"""Tables of a report."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wsrl.studies.report.ranking import CONTEST, WORK, rank
from wsrl.studies.report.reading import NUMBER, Benchmark, groups, rows_of
from wsrl.studies.report.words import head_of, interval, number, work_of


class Value(NamedTuple):
    """What stands in one place of a table: a number, its interval, a remark.

    It is ``best`` where none is better and some are worse, ``close`` where its interval overlaps
    that of the best.
    """

    text: str = ""
    range: str = ""
    best: bool = False
    close: bool = False
    note: str = ""


class Table(NamedTuple):
    """A table: its head, the column of names included, and the values of each row by name."""

    caption: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Value]]


Shown = Callable[[pd.DataFrame], Iterable[Value]]
"""Returns the values of the rows of one contest."""


def main_tables(ranking: pd.DataFrame, shown: Shown, title: str = "") -> Iterator[Table]:
    """Yield for each zoo the contests that matter most."""
    for zoo, rows in groups(ranking[ranking.lead & (ranking.ablation_of == "")], "zoo"):
        works = rows[WORK].drop_duplicates().itertuples(index=False)
        named = (work_of(*work).removeprefix(f"{zoo}: ") for work in works)
        yield contest_table(f"{zoo}: {', '.join(named)}{title}", rows, shown)


def target_tables(ranking: pd.DataFrame) -> Iterator[Table]:
    """Yield the means in all contests: a table for each zoo, target and mode."""
    # A loss depends on how one trains: it is in the CSV files only.
    shown = ranking[(ranking.ablation_of == "") & (ranking.metric != "loss")]
    for work, rows in groups(shown, WORK):
        yield contest_table(work_of(*work), rows, means)


def difference_tables(ranking: pd.DataFrame, benchmark: Benchmark) -> Iterator[Table]:
    """Yield for each zoo the differences against the encoder compared with."""
    chosen = benchmark.compare_with
    differing = ranking[ranking.lead & ranking.difference.notna()].zoo
    shown = ranking[ranking.zoo.isin(differing) & (ranking.label != chosen)]
    yield from main_tables(shown, differences, f": less that of {chosen}")


def spec_tables(benchmark: Benchmark) -> Iterator[Table]:
    """Yield, of what encoders are judged by, the means over RNNs of each cell and size.

    They are ranked on the RNNs of each spec as on all.
    """
    ranked = []
    for spec, own in groups(benchmark.by_spec, "spec"):
        found = rank(replace(benchmark, results=own[NUMBER]))
        shown = found.judged & found.main.isin((0, 1)) & (found.ablation_of == "")
        ranked.append(found[shown].assign(spec=spec))
    for (*work, split, metric), rows in groups(pd.concat(ranked), CONTEST) if ranked else ():
        head = head_of(metric, split, rows.better.iloc[0])
        yield _table(f"{work_of(*work)}: {head}", groups(rows, "spec"), means)


def contest_table(
    caption: str, rows: pd.DataFrame, shown: Shown, name: str = "label", corner: str = "encoder"
) -> Table:
    """Return a table of contests, a column for each; ``name`` is the column that names the rows."""
    columns = (
        (head_of(metric, split, own.better.iloc[0]), own)
        for (*_, split, metric), own in groups(rows, CONTEST)
    )
    return _table(caption, columns, shown, name, corner)


def _table(
    caption: str,
    contests: Iterable[tuple[str, pd.DataFrame]],
    shown: Shown,
    name: str = "label",
    corner: str = "encoder",
) -> Table:
    """Return a table with a column for each contest, by its head."""
    columns, heads, names = list[dict[str, Value]](), [corner], dict[str, None]()
    for head, own in contests:
        columns.append(dict(zip(own[name], shown(own), strict=True)))
        heads.append(head)
        names |= dict.fromkeys(own[name])
    values = {label: [c.get(label, Value()) for c in columns] for label in names}
    return Table(caption, heads, values)


def means(rows: pd.DataFrame) -> Iterator[Value]:
    """Yield the means in a contest with intervals, the best marked, and what overlaps with it."""
    score = rows.better * rows["mean"].where(np.isfinite(rows["mean"]))
    best = close = pd.Series(False, rows.index)
    if score.nunique() > 1:  # where all are equal, none is the best
        leader = rows.iloc[int(score.argmax())]
        best = rows["mean"] == leader["mean"]
        close = ~best & (rows.low <= leader.high) & (leader.low <= rows.high)
    for entry, *marks in zip(rows_of(rows), best, close, strict=True):
        yield _mean(entry, *marks)


def differences(rows: pd.DataFrame) -> Iterator[Value]:
    """Yield the differences against the encoder compared with, with verdicts."""
    for entry in rows_of(rows):
        if not entry.difference_seeds:
            yield Value() if entry.values else _mean(entry)
            continue
        yield Value(
            f"{'+' if entry.difference > 0 else ''}{number(entry.difference)}",
            interval(entry.difference_low, entry.difference_high),
            best=entry.verdict == "better",
            note="; ".join(filter(None, (entry.verdict, _lost(entry)))),
        )


def rank_table(ranking: pd.DataFrame, benchmark: Benchmark) -> Table | None:
    """Return mean ranks, and how often an encoder is better and worse than the one compared with.

    Baselines take part in the ranking, but not in all contests: they have no row. ``None`` without
    ranks.
    """
    judged = ranking[ranking.judged & (ranking.kind != "baseline") & ranking["rank"].notna()]
    if judged.empty:
        return None
    judged = judged.assign(mode=judged["mode"].replace("", "emulation"))
    found = judged.pivot_table(index="label", columns="mode", values="rank", sort=False)
    of_all = judged.groupby("label", sort=False)["rank"].agg(["mean", "count"])
    found.insert(0, "all", of_all["mean"])
    found = found.sort_values("all", kind="stable")
    best = found.eq(found.min()) & (found.nunique() > 1)
    rows = {
        str(label): [
            Value() if pd.isna(value) else Value(f"{value:.2f}", best=mark)
            for value, mark in zip(own, best.loc[str(label)], strict=True)
        ]
        for label, own in found.iterrows()
    }
    heads = list(map(str, found))
    if benchmark.compare_with is not None:
        words = ["better", "worse", "leans better", "leans worse"]
        counts = pd.crosstab(judged.label, judged.verdict).reindex(columns=words, fill_value=0)
        for label, values in rows.items():
            values += [Value(str(count)) for count in counts.loc[str(label)]]
        heads += words
    caption = f"Mean rank, 1 is best, in up to {of_all['count'].max()} contests"
    return Table(caption, ["encoder", *heads], rows)


def ablation_tables(ranking: pd.DataFrame) -> Iterator[Table]:
    """Yield a table for each zoo, encoder and option that was varied; numbers by size."""
    judged = ranking[ranking.judged & ranking.main.isin((0, 1))]
    varied = judged[judged.ablation_of != ""]
    sizes = pd.to_numeric(varied.option_value, errors="coerce")
    varied = varied.assign(size=sizes).sort_values(["size", "option_value"], kind="stable")
    for (zoo, encoder, option), own in groups(varied, ["zoo", "ablation_of", "option"]):
        plain = judged[(judged.zoo == zoo) & (judged.label == encoder)]
        rows = pd.concat([own, plain.assign(option_value="as in the other tables")])
        yield contest_table(
            f"{zoo}: {encoder}, {option}", rows, _plain_means, "option_value", str(option)
        )


def property_table(properties: pd.DataFrame) -> Iterator[Table]:
    """Yield a table of what was measured of the encoders, if anything was."""
    if len(properties):
        known = properties.drop_duplicates(["fact", "encoder"])
        found = known.set_index(["fact", "encoder"])["value"]
        yield text_table("Properties", found.unstack(fill_value="", sort=False), "fact")


def failed_table(benchmark: Benchmark) -> Table | None:
    """Return the runs that failed, with their errors; ``None`` without any."""
    failed = benchmark.runs[benchmark.runs.state == "failed"].set_index("folder")
    return text_table("Runs that failed", failed[["error"]], "run") if len(failed) else None


def text_table(caption: str, frame: pd.DataFrame, corner: str = "encoder") -> Table:
    """Return a frame of text as a table."""
    rows = {str(name): [Value(text) for text in row] for name, row in frame.iterrows()}
    return Table(caption, [corner, *map(str, frame)], rows)


def _plain_means(rows: pd.DataFrame) -> Iterator[Value]:
    return map(_mean, rows_of(rows))


def _mean(entry: Any, best: bool = False, close: bool = False) -> Value:
    if entry.values:
        shown = interval(entry.low, entry.high)
        return Value(number(entry.mean), shown, best, close, _lost(entry))
    text = "failed" if entry.failed else "missing" if entry.missing else "none"
    return Value(text, note=_lost(entry) if entry.failed and entry.missing else "")


def _lost(entry: Any) -> str:
    """Say how many seeds are not in a mean; empty where all are."""
    counts = {"failed": entry.failed, "missing": entry.missing}
    lost = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{lost} of {entry.seeds + entry.failed + entry.missing} seeds" if lost else ""
