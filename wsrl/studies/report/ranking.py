"""The ranking: every encoder's mean over seeds, its rank and its difference, contest by contest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wsrl.analysis.comparison import BETTER, estimate, paired_difference, ranks
from wsrl.studies.report.reading import Benchmark

EMULATION = ("total_variation", "mean_squared_error")
"""The loss that emulation is judged by, whichever of the two there is."""

PREDICTION = ("exact_match", "angular_error", "mae")
"""The metric that a prediction is judged by: the first of these that there is."""

HIDDEN = ("loss",)
"""Metrics that are in the CSV files only: a loss depends on how one trains."""

SIGNIFICANT = 0.05
"""Significance level of the sign-flip test."""

CONTEST = ("zoo", "target", "mode", "split", "metric")
SUMMARY = (
    *("zoo", "encoder", "kind", "target", "mode", "split", "metric"),
    *("mean", "low", "high", "seeds", "failed", "missing", "rank"),
    *("difference", "difference_low", "difference_high", "difference_seeds", "p_value"),
)
"""Columns of the table of a ranking."""

_MEASURED = (
    *("mean", "low", "high", "rank"),
    *("difference", "difference_low", "difference_high", "p_value"),
)


class Contest(NamedTuple):
    """One number that encoders compete for; target and mode are empty of emulation."""

    zoo: str
    target: str
    mode: str
    split: str
    metric: str


@dataclass(frozen=True)
class Ranking:
    """Every encoder, variant of one and baseline in every contest.

    Attributes:
        table: ``SUMMARY``; also ``label``, ``setting`` and ``ablation_of``, ``option``,
            ``option_value`` as of the runs, and ``values``, by seed.
    """

    table: pd.DataFrame

    @cached_property
    def found(self) -> dict[Contest, pd.DataFrame]:
        """The rows of each contest."""
        groups = self.table.groupby(list(CONTEST), sort=False)
        return {Contest(*map(str, key)): rows for key, rows in groups}

    def summary(self) -> pd.DataFrame:
        """Return ``SUMMARY`` to be written: ``nan`` where not defined, nothing where not there."""
        table = self.table[list(SUMMARY)].astype(object)
        for name, count in (("mean", "seeds"), ("difference", "difference_seeds")):
            table.loc[table[name].isna() & (table[count] > 0), name] = "nan"
        undefined = (table.difference == "nan") & table.p_value.isna()
        table.loc[undefined, "p_value"] = "nan"
        return table

    def contests(self, zoo: str, target: str, mode: str) -> list[Contest]:
        """Return the contests on a target in a mode, those that judge first; no hidden metrics."""
        own = [c for c in self.found if c[:3] == (zoo, target, mode)]
        metrics = {c.metric for c in own if c.metric not in HIDDEN}
        splits = dict.fromkeys(c.split for c in own)
        every = (
            Contest(zoo, target, mode, split, metric)
            for metric in sorted(metrics, key=_order)
            for split in splits
        )
        return [contest for contest in every if contest in self.found]

    def judging(self, zoo: str, target: str, mode: str) -> list[Contest]:
        """Return the contests whose metric an encoder is judged by: one for each split."""
        found = self.contests(zoo, target, mode)
        judges = PREDICTION if target else EMULATION
        first = {
            split: next((m for m in judges if (zoo, target, mode, split, m) in found), None)
            for split in dict.fromkeys(c.split for c in found)
        }
        return [contest for contest in found if contest.metric == first[contest.split]]

    def judged(self) -> pd.DataFrame:
        """Return who competes in what encoders are judged by, on all zoos and targets."""
        works = dict.fromkeys(contest[:3] for contest in self.found)
        judging = [contest for work in works for contest in self.judging(*work)]
        found = self.table.merge(pd.DataFrame(judging, columns=list(CONTEST)))
        return found[found.ablation_of == ""]

    def lead(self, benchmark: Benchmark, zoo: str) -> list[Contest]:
        """Return what a zoo's main table shows: emulation, clones, the main target's first mode."""
        target = benchmark.main_target(zoo)
        mode = next(iter(benchmark.modes(zoo, target)), "")
        prediction = self.contests(zoo, target, mode) if target else []
        beside = [
            *(c for c in self.contests(zoo, "", "") if c.metric == "clone_difference"),
            *(c for c in prediction if c.metric == "part_accuracy"),
        ]
        judging = self.judging(zoo, target, mode) if target else []
        return [*self.judging(zoo, "", ""), *beside[:2], *judging, *beside[2:]]

    def entries(self, contest: Contest, variants: bool = False) -> pd.DataFrame:
        """Return who competes in a contest; variants of encoders only where asked for."""
        rows = self.found[contest]
        return rows if variants else rows[rows.ablation_of == ""]


def rank(benchmark: Benchmark) -> Ranking:
    """Rank the encoders of a benchmark in every contest.

    Baselines, which have no modes, compete in all of them. What failed or diverged shares the last
    place; what has not run takes no part. Variants of an encoder have no rank.
    """
    numbers = _numbers(benchmark)
    rows = [
        row
        for _, contest in numbers.groupby(list(CONTEST), sort=False)
        for row in _compete(contest, benchmark.compare_with)
    ]
    beside = ("label", "setting", "ablation_of", "option", "option_value", "values")
    table = pd.DataFrame(rows, columns=[*SUMMARY, *beside])
    return Ranking(table.astype(dict.fromkeys(_MEASURED, float)))


def direction(contest: Contest) -> int:
    """Return 1 where more is better, -1 where less is, 0 where neither is."""
    return BETTER.get(contest.metric, 0)


def verdict(entry: Any) -> str:
    """Say whether an entry differs from the encoder compared with.

    ``better`` or ``worse`` by the sign-flip test, which takes 6 seeds; ``leans`` to one side where
    only the interval does not hold 0.

    Args:
        entry: a row of the ranking.
    """
    better = BETTER.get(entry.metric)
    if not better or pd.isna(entry.difference):
        return ""
    certain = entry.p_value <= SIGNIFICANT
    if not certain and not (entry.difference_low > 0 or entry.difference_high < 0):
        return ""
    word = "better" if entry.difference * better > 0 else "worse"
    return word if certain else f"leans {word}"


def _order(metric: str) -> tuple[int, str]:
    known = list(BETTER)
    judging = metric in (*EMULATION, *PREDICTION)
    return (-1 if judging else known.index(metric) if metric in known else len(known), metric)


def _numbers(benchmark: Benchmark) -> pd.DataFrame:
    """Return a row for each run in each contest; ``measured`` says whether it has a value."""
    runs = benchmark.runs
    predictions = runs[runs.kind == "prediction"]
    modes = predictions[["zoo", "target", "mode"]].drop_duplicates()
    baselines = runs[runs.kind == "baseline"].drop(columns="mode")
    baselines = baselines.merge(modes, on=["zoo", "target"], how="left").fillna({"mode": ""})
    trained = runs[runs.kind.isin(("emulation", "prediction"))]
    entries = pd.concat([trained, baselines])
    measured = benchmark.results.assign(measured=True)
    place = ["zoo", "target", "mode"]
    named = entries[["folder", *place]].merge(measured, on="folder")
    metrics = named[list(CONTEST)].drop_duplicates()
    found = entries.merge(metrics, on=place)
    found = found.merge(measured, on=["folder", "split", "metric"], how="left")
    return found.assign(measured=found.measured.notna())


def _compete(contest: pd.DataFrame, compare_with: str | None) -> list[dict[str, Any]]:
    entries = [_entry(rows) for _, rows in contest.groupby("label", sort=False)]
    _give_ranks([e for e in entries if not e["ablation_of"] and (e["values"] or e["failed"])])
    chosen: dict[Any, float]
    chosen = next((e["values"] for e in entries if e["label"] == compare_with), {})
    for entry in entries:
        ours = entry["values"]
        if entry["label"] == compare_with or not ours:
            continue
        if list(ours) == [None]:  # without seeds: the same for each
            ours = dict.fromkeys(chosen, ours[None])
        found = paired_difference(ours, chosen)
        if found is not None:
            entry["difference"], entry["p_value"] = found.mean, found.p_value
            entry["difference_low"], entry["difference_high"] = found.low, found.high
            entry["difference_seeds"] = found.seeds
    return entries


def _entry(rows: pd.DataFrame) -> dict[str, Any]:
    own = rows[rows.measured]
    seeds = (None if pd.isna(seed) else int(seed) for seed in own.seed)
    values = dict(zip(seeds, own.value.tolist(), strict=True))
    found = estimate(list(values.values())) if values else None
    first = rows.iloc[0]
    same = ("encoder", "kind", "label", "setting", "ablation_of", "option", "option_value")
    return {
        **{name: first[name] for name in (*CONTEST, *same)},
        "values": values,
        "mean": found.mean if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "seeds": len(values),
        "failed": int((rows.state == "failed").sum()),
        "missing": int((rows.state == "missing").sum()),
        "difference_seeds": 0,
    }


def _give_ranks(entries: Sequence[dict[str, Any]]) -> None:
    if entries and entries[0]["metric"] in BETTER:
        means = [np.nan if e["mean"] is None else e["mean"] for e in entries]
        for entry, place in zip(entries, ranks(means, entries[0]["metric"]), strict=True):
            entry["rank"] = float(place)


def mean_ranks(ranking: Ranking) -> pd.DataFrame:
    """Return every encoder's mean rank in what it is judged by; empty without ranks.

    Baselines take part in the ranking, but not in all contests: they have no row.

    Returns:
        A row for each encoder's label, the best first; columns ``all``, ``emulation`` and modes
        with means, and ``contests``, of how many ``all`` is the mean.
    """
    found = ranking.judged()
    found = found[(found.kind != "baseline") & found["rank"].notna()]
    found = found.assign(mode=found["mode"].replace("", "emulation"))
    if found.empty:
        return found
    table = found.pivot_table(index="label", columns="mode", values="rank", sort=False)
    of_all = found.groupby("label", sort=False)["rank"].agg(["mean", "count"])
    table.insert(0, "all", of_all["mean"])
    return table.assign(contests=of_all["count"]).sort_values("all", kind="stable")
