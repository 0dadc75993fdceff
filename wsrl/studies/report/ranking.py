"""The ranking: every encoder's mean over seeds, its rank and its difference, contest by contest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wsrl.analysis.comparison import estimate, paired_difference, ranks
from wsrl.studies.report.reading import Benchmark
from wsrl.tasks.targets import TARGETS

_EMULATION = {
    "total_variation": -1,
    "mean_squared_error": -1,
    "reverse_kl": -1,
    "clone_difference": -1,
    "loss": -1,
}

SIGNIFICANT = 0.05
"""Significance level of the sign-flip test."""

CONTEST = ("zoo", "target", "mode", "split", "metric")
SUMMARY = (
    *("zoo", "encoder", "kind", "target", "mode", "split", "metric"),
    *("mean", "low", "high", "seeds", "failed", "missing", "rank"),
    *("difference", "difference_low", "difference_high", "difference_seeds", "p_value"),
)
"""Columns of the table of a ranking."""

_HIDDEN = ("loss",)  # in the CSV files only: a loss depends on how one trains
_MEASURED = (
    *("mean", "low", "high", "rank"),
    *("difference", "difference_low", "difference_high", "p_value"),
)
_SAME = ("encoder", "kind", "label", "setting", "ablation_of", "option", "option_value")


class Contest(NamedTuple):
    """One number that encoders compete for; target and mode are empty of emulation."""

    zoo: str
    target: str
    mode: str
    split: str
    metric: str

    @property
    def direction(self) -> int:
        """1 where more is better, -1 where less is, 0 where neither is."""
        return directions().get(self.metric, 0)


def directions() -> dict[str, int]:
    """Return 1 for a metric of which more is better, -1 where less is; others are not ranked."""
    kinds = (TARGETS.get(name).better for name in TARGETS.names())
    return _EMULATION | {metric: better for kind in kinds for metric, better in kind.items()}


def judges() -> list[str]:
    """Return what an encoder is judged by: the first of these that there is.

    Of a kind of target it is the first of its metrics. One that other kinds have too comes last.
    """
    kinds = [list(TARGETS.get(name).better) for name in TARGETS.names()]
    shared = Counter(metric for kind in kinds for metric in kind)
    main = sorted((kind[0] for kind in kinds if kind), key=shared.__getitem__)
    return ["total_variation", "mean_squared_error", *main]


@dataclass(frozen=True)
class Ranking:
    """Every encoder, variant of one and baseline of a benchmark in every contest.

    Beside ``SUMMARY`` the table has ``label``, ``setting``, ``ablation_of``, ``option`` and
    ``option_value`` as of the runs, ``values``, by seed, and ``verdict``.
    """

    benchmark: Benchmark
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

    def contests(self, *work: str) -> list[Contest]:
        """Return the contests of a zoo, target and mode, those that judge first; no losses."""
        own = [c for c in self.found if c[:3] == work and c.metric not in _HIDDEN]
        order, splits = [*judges(), *directions()], list(dict.fromkeys(c.split for c in own))
        order += sorted({c.metric for c in own} - {*order})
        return sorted(own, key=lambda c: (order.index(c.metric), splits.index(c.split)))

    def judging(self, *work: str) -> list[Contest]:
        """Return the contests whose metric an encoder is judged by: one for each split."""
        first: dict[str, Contest] = {}
        known = judges()
        for contest in self.contests(*work):
            if contest.metric in known:
                first.setdefault(contest.split, contest)
        return list(first.values())

    def judged(self) -> pd.DataFrame:
        """Return who competes in what encoders are judged by, on all zoos and targets."""
        works = dict.fromkeys(contest[:3] for contest in self.found)
        found = [self.entries(contest) for work in works for contest in self.judging(*work)]
        return pd.concat(found) if found else self.table[:0]

    def lead(self, zoo: str) -> list[Contest]:
        """Return what a zoo's main table shows: emulation, clones, the main target's first mode."""
        emulation, *predictions = self.benchmark.works(zoo)
        clones = [c for c in self.contests(*emulation) if c.metric == "clone_difference"]
        first = self.contests(*predictions[0]) if predictions else []
        parts = [contest for contest in first if contest.metric == "part_accuracy"]
        beside, judging = [*clones, *parts], self.judging(*predictions[0]) if predictions else []
        return [*self.judging(*emulation), *beside[:2], *judging, *beside[2:]]

    def entries(self, contest: Contest) -> pd.DataFrame:
        """Return who competes in a contest, without variants of encoders."""
        return self.found[contest].loc[lambda rows: rows.ablation_of == ""]

    def mean_ranks(self) -> pd.DataFrame:
        """Return every encoder's mean rank in what it is judged by; empty without ranks.

        Baselines take part in the ranking, but not in all contests: they have no row.

        Returns:
            A row for each encoder's label, the best first; columns ``all``, ``emulation`` and modes
            with means, and ``contests``, of how many ``all`` is the mean.
        """
        found = self.judged()
        found = found[(found.kind != "baseline") & found["rank"].notna()]
        found = found.assign(mode=found["mode"].replace("", "emulation"))
        if found.empty:
            return found
        table = found.pivot_table(index="label", columns="mode", values="rank", sort=False)
        of_all = found.groupby("label", sort=False)["rank"].agg(["mean", "count"])
        table.insert(0, "all", of_all["mean"])
        return table.assign(contests=of_all["count"]).sort_values("all", kind="stable")


def rank(benchmark: Benchmark) -> Ranking:
    """Rank the encoders of a benchmark in every contest.

    Baselines, which have no modes, compete in all of them. What failed or diverged shares the last
    place; what has not run takes no part. Variants of an encoder have no rank.
    """
    rows = [
        row
        for _, contest in _numbers(benchmark).groupby(list(CONTEST), sort=False)
        for row in _compete(contest, benchmark.compare_with)
    ]
    columns = [*SUMMARY, *(name for name in _SAME if name not in SUMMARY), "values"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(_MEASURED, float))
    return Ranking(benchmark, table.assign(verdict=[_verdict(row) for row in table.itertuples()]))


def _numbers(benchmark: Benchmark) -> pd.DataFrame:
    """Return a row for each run in each contest; ``measured`` says whether it has a value."""
    runs, place = benchmark.runs, ["zoo", "target", "mode"]
    modes = runs[runs.kind == "prediction"][place].drop_duplicates()
    baselines = runs[runs.kind == "baseline"].drop(columns="mode")
    baselines = baselines.merge(modes, on=["zoo", "target"], how="left").fillna({"mode": ""})
    entries = pd.concat([runs[runs.kind.isin(("emulation", "prediction"))], baselines])
    measured = benchmark.results.assign(measured=True)
    named = entries[["folder", *place]].merge(measured, on="folder")
    found = entries.merge(named[list(CONTEST)].drop_duplicates(), on=place)
    found = found.merge(measured, on=["folder", "split", "metric"], how="left")
    return found.assign(measured=found.measured.notna())


def _compete(contest: pd.DataFrame, compare_with: str | None) -> list[dict[str, Any]]:
    """Return who competes in a contest: means, ranks and differences, as of ``Ranking.table``."""
    entries = [_entry(rows) for _, rows in contest.groupby("label", sort=False)]
    ranked = [e for e in entries if not e["ablation_of"] and (e["values"] or e["failed"])]
    if better := directions().get(contest.metric.iloc[0]):
        places = ranks([e.get("mean", np.nan) for e in ranked], better)
        for entry, place in zip(ranked, places, strict=True):
            entry["rank"] = place
    chosen: dict[Any, float]
    chosen = next((e["values"] for e in entries if e["label"] == compare_with), {})
    for entry in entries:
        ours = entry["values"]
        if list(ours) == [None]:  # without seeds: the same for each
            ours = dict.fromkeys(chosen, ours[None])
        found = paired_difference(ours, chosen) if entry["label"] != compare_with else None
        if found is not None:
            entry |= {"difference": found.mean, "p_value": found.p_value}
            entry |= {"difference_low": found.low, "difference_high": found.high}
            entry["difference_seeds"] = found.seeds
    return entries


def _entry(rows: pd.DataFrame) -> dict[str, Any]:
    own, first = rows[rows.measured], rows.iloc[0]
    seeds = (None if pd.isna(seed) else int(seed) for seed in own.seed)
    values = dict(zip(seeds, own.value.tolist(), strict=True))
    entry = {name: first[name] for name in (*CONTEST, *_SAME)}
    entry |= {"values": values, "seeds": len(values), "difference_seeds": 0}
    entry |= {state: int((rows.state == state).sum()) for state in ("failed", "missing")}
    if values:
        found = estimate(list(values.values()))
        entry |= {"mean": found.mean, "low": found.low, "high": found.high}
    return entry


def _verdict(entry: Any) -> str:
    """Say whether an entry differs from the encoder compared with.

    ``better`` or ``worse`` by the sign-flip test, which takes 6 seeds; ``leans`` to one side where
    only the interval does not hold 0.
    """
    better = directions().get(entry.metric)
    if not better or pd.isna(entry.difference):
        return ""
    certain = entry.p_value <= SIGNIFICANT
    if not certain and not (entry.difference_low > 0 or entry.difference_high < 0):
        return ""
    word = "better" if entry.difference * better > 0 else "worse"
    return word if certain else f"leans {word}"
