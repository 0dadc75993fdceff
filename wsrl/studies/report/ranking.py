"""The ranking: one table with every encoder's mean over seeds, rank and difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from wsrl.analysis.comparison import estimate, paired_difference, ranks
from wsrl.studies.report.reading import Benchmark
from wsrl.tasks.targets import TARGETS

SIGNIFICANT = 0.05
"""Significance level of the sign-flip test."""

WORK = ["zoo", "target", "mode"]
CONTEST = [*WORK, "split", "metric"]
"""What encoders compete for; target and mode are empty of emulation."""

_MEASURED = ["mean", "low", "high", "rank", "difference", "difference_low", "difference_high"]
_MEASURED += ["p_value"]
SUMMARY = [
    *("zoo", "encoder", "kind", "target", "mode", "split", "metric"),
    *("mean", "low", "high", "seeds", "failed", "missing", "rank"),
    *("difference", "difference_low", "difference_high", "difference_seeds", "p_value"),
]
"""Columns of the file with a ranking."""

_SAME = ["encoder", "kind", "label", "ablation_of", "option", "option_value"]
_EMULATION = ("total_variation", "mean_squared_error", "reverse_kl", "clone_difference", "loss")


def directions() -> dict[str, int]:
    """Return 1 for a metric of which more is better, -1 where less is; others are not ranked."""
    kinds = (TARGETS.get(name).better for name in TARGETS.names())
    return dict.fromkeys(_EMULATION, -1) | {name: sign for k in kinds for name, sign in k.items()}


def judges() -> list[str]:
    """Return what an encoder is judged by: the first of these that there is.

    Of a kind of target it is the first of its metrics. One that other kinds have too comes last.
    """
    kinds = [list(TARGETS.get(name).better) for name in TARGETS.names()]
    shared = Counter(metric for kind in kinds for metric in kind)
    main = sorted((kind[0] for kind in kinds if kind), key=shared.__getitem__)
    return ["total_variation", "mean_squared_error", *main]


def rank(benchmark: Benchmark) -> pd.DataFrame:
    """Rank every encoder, variant of one and baseline of a benchmark in every contest.

    Baselines, which have no modes, compete in all of them. What failed or diverged shares the last
    place; what has not run takes no part. Variants of an encoder have no rank.

    Returns:
        ``SUMMARY`` by contest, those that judge first, with ``label`` and the columns of variants
        as of the runs; ``values`` by seed; ``entrant``, the index in ``benchmark.entrants``;
        ``main``, the index in ``benchmark.works``, or -1; ``better`` as of ``directions``;
        ``judged``, whether encoders are judged by it on this split; ``lead``, whether it is in the
        main table; ``verdict``, against the encoder compared with.
    """
    rows = [
        row
        for _, contest in _numbers(benchmark).groupby(CONTEST, sort=False)
        for row in _compete(contest, benchmark.compare_with)
    ]
    columns = list(dict.fromkeys([*SUMMARY, *_SAME, "values"]))
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(_MEASURED, float))
    places = {label: place for place, label in enumerate(benchmark.entrants)}
    works = {w: place for zoo in benchmark.zoos for place, w in enumerate(benchmark.works(zoo))}
    table["entrant"] = table.label.map(places).astype("Int64")
    table["main"] = [works.get(work, -1) for work in table[WORK].itertuples(index=False, name=None)]
    table["better"] = table.metric.map(directions()).fillna(0).astype(int)
    judge = table.metric.map({metric: place for place, metric in enumerate(judges())})
    first = judge.groupby([table[name] for name in (*WORK, "split")]).transform("min")
    table["judged"] = judge.notna() & (judge == first)
    beside = table.metric.isin(("clone_difference", "part_accuracy"))
    table["lead"] = table.main.isin((0, 1)) & (table.judged | beside)
    table["verdict"] = _verdicts(table)
    order = dict.fromkeys([*judges(), *directions(), *sorted(table.metric.unique())])
    keys = pd.DataFrame({"work": table.groupby(WORK, sort=False).ngroup()})
    keys["metric"] = table.metric.map({metric: place for place, metric in enumerate(order)})
    keys["split"] = pd.factorize(table.split)[0]
    return table.loc[keys.sort_values(["work", "metric", "split"]).index]


def _numbers(benchmark: Benchmark) -> pd.DataFrame:
    """Return a row for each run in each contest; ``measured`` says whether it has a value."""
    runs = benchmark.runs
    modes = runs[runs.kind == "prediction"][WORK].drop_duplicates()
    baselines = runs[runs.kind == "baseline"].drop(columns="mode")
    baselines = baselines.merge(modes, on=["zoo", "target"], how="left").fillna({"mode": ""})
    entries = pd.concat([runs[runs.kind.isin(("emulation", "prediction"))], baselines])
    measured = benchmark.results.assign(measured=True)
    named = entries[["folder", *WORK]].merge(measured, on="folder")
    found = entries.merge(named[CONTEST].drop_duplicates(), on=WORK)
    found = found.merge(measured, on=["folder", "split", "metric"], how="left")
    return found.assign(measured=found.measured.notna())


def _compete(contest: pd.DataFrame, compare_with: str | None) -> list[dict[str, Any]]:
    """Return who competes in a contest: means, ranks and differences."""
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


def _verdicts(table: pd.DataFrame) -> pd.Series[Any]:
    """Say which entries differ from the encoder compared with.

    ``better`` or ``worse`` by the sign-flip test, which takes 6 seeds; ``leans`` to one side where
    only the interval does not hold 0.
    """
    side = (table.difference * table.better).map(np.sign)
    words = side.map({1.0: "better", -1.0: "worse"}).fillna("").astype(object)
    beyond = (table.difference_low > 0) | (table.difference_high < 0)
    leaning = ("leans " + words).where(beyond & (words != ""), "")
    return words.where(table.p_value <= SIGNIFICANT, leaning)
