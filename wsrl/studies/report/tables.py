"""Tables of standings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from wsrl.analysis.comparison import BETTER, Estimate
from wsrl.studies.report.layout import Table, Value, head_of, interval
from wsrl.studies.report.reading import distinct
from wsrl.studies.report.standings import Contest, Standing

EMULATION = ("total_variation", "mean_squared_error")
"""The loss that emulation is judged by, whichever of the two there is."""

PREDICTION = ("exact_match", "angular_error", "mae")
"""The metric that a prediction is judged by: the first of these that there is."""

HIDDEN = ("loss",)
"""Metrics that are in the CSV files only: a loss depends on how one trains."""

VERDICT = 0.05
"""A difference is called one where chance gives it no oftener: as often as intervals are wrong."""

Columns = Sequence[Contest]


def table_of(caption: str, standings: Iterable[Standing], columns: Columns) -> Table:
    """Return means with intervals, the best in bold; a row for each encoder and baseline."""
    found = {(s.contest, s.encoder): s for s in standings if not s.is_variant}
    leaders = {contest: _leader(found.values(), contest) for contest in columns}

    def value(standing: Standing) -> Value:
        leader = leaders[standing.contest]
        best = leader is not None and _same(standing.estimate, leader)
        close = not best and _overlap(standing.estimate, leader)
        return value_of(standing, standing.estimate, best, close)

    return _table(caption, found, columns, value)


def differences(caption: str, standings: Iterable[Standing], columns: Columns) -> Table:
    """Return differences against the encoder compared with.

    It is said who is better, and in bold, where the sign-flip test has it, which takes 6 seeds;
    else, where the interval is beyond 0, that it leans to one side.
    """
    found = {
        (s.contest, s.encoder): s
        for s in standings
        if not s.is_variant and (s.difference or not s.estimate)
    }

    def value(standing: Standing) -> Value:
        difference = standing.difference
        low, high = (difference.low, difference.high) if difference else (None, None)
        better = BETTER.get(standing.contest.metric, 0)
        apart = low is not None and high is not None and (low > 0 or high < 0)
        certain = difference is not None and difference.p_value <= VERDICT
        note = ""
        if difference and better and (certain or apart):
            note = "better" if difference.mean * better > 0 else "worse"
            note = note if certain else f"leans {note}"
        return value_of(standing, difference, best=note == "better", note=note, signed=True)

    return _table(caption, found, columns, value)


def mean_ranks(standings: Collection[Standing]) -> Table | None:
    """Return every encoder's mean rank in what each contest is judged by; nothing without ranks.

    Baselines take part in the ranking, but not in all contests: they have no row.
    """
    judged = set(judges(standing.contest for standing in standings))
    ranks: dict[str, dict[str, list[float]]] = {}
    for standing in standings:
        if standing.contest in judged and standing.kind != "baseline" and standing.rank:
            own = ranks.setdefault(standing.encoder, {})
            for group in (standing.contest.mode or "emulation", "all"):
                own.setdefault(group, []).append(standing.rank)
    if not ranks:
        return None
    groups = distinct(group for own in ranks.values() for group in own if group != "all")
    best = {
        group: min(float(np.mean(own[group])) for own in ranks.values() if group in own)
        for group in (*groups, "all")
    }
    rows = tuple(
        (encoder, tuple(_mean_rank(own.get(group, []), best[group]) for group in best))
        for encoder, own in ranks.items()
    )
    caption = "Mean rank (1 is best) over zoos, targets and splits; in brackets: of how many"
    return Table(caption, ("encoder", *best), rows)


def judges(contests: Iterable[Contest]) -> list[Contest]:
    """Return the contests by whose metric an encoder is judged: one for each target and split."""
    found = dict.fromkeys(contests)
    return [contest for contest in found if contest.metric == _judge(contest, found)]


def _judge(contest: Contest, others: Mapping[Contest, None]) -> str | None:
    """Return the metric that is looked at first, of those that there are beside a contest."""
    metrics = EMULATION if contest.target is None else PREDICTION
    return next((name for name in metrics if replace(contest, metric=name) in others), None)


def value_of(
    standing: Standing,
    found: Estimate | None,
    best: bool = False,
    close: bool = False,
    note: str = "",
    signed: bool = False,
) -> Value:
    """Write an estimate, or why there is none; seeds that are not in it are always said.

    Args:
        standing: whose it is.
        found: its mean, or its difference.
        best: as of ``Value``.
        close: as of ``Value``.
        note: what else is said of it.
        signed: whether it has a sign in any case.
    """
    total, missing = len(standing.cells), standing.states.count("missing")
    counts = {"failed": standing.failed, "missing": missing}
    lost = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    if found is None:
        text = "failed" if standing.failed else "missing" if missing else "none"
        return Value(text, standing.setting, note=lost if standing.failed and missing else "")
    notes = [note, f"{lost} of {total} seeds" if lost else ""]
    return Value(
        interval(found, signed), standing.setting, best, close, "; ".join(filter(None, notes))
    )


def contests_of(
    standings: Iterable[Standing], zoo: str, target: str | None, mode: str | None
) -> list[Contest]:
    """Return the contests on a target in a mode, without hidden metrics; the judging ones first."""
    found = dict.fromkeys(
        s.contest
        for s in standings
        if (s.contest.zoo, s.contest.target, s.contest.mode) == (zoo, target, mode)
        and s.contest.metric not in HIDDEN
    )
    metrics = sorted({c.metric for c in found}, key=_order)
    splits = distinct(c.split for c in found)
    return [
        contest
        for metric in metrics
        for split in splits
        if (contest := Contest(zoo, target, mode, split, metric)) in found
    ]


def _order(metric: str) -> tuple[int, str]:
    known = list(BETTER)
    judging = metric in (*EMULATION, *PREDICTION)
    return (-1 if judging else known.index(metric) if metric in known else len(known), metric)


def _table(
    caption: str,
    found: dict[tuple[Contest, str], Standing],
    columns: Columns,
    value: Callable[[Standing], Value],
) -> Table:
    names = distinct(encoder for contest, encoder in found if contest in set(columns))
    rows = []
    for name in names:
        places = [found.get((contest, name)) for contest in columns]
        label = name if any(s and s.kind != "baseline" for s in places) else f"{name} (baseline)"
        rows.append((label, tuple(Value("") if s is None else value(s) for s in places)))
    heads = tuple(head_of(contest.metric, contest.split) for contest in columns)
    return Table(caption, ("encoder", *heads), tuple(rows))


def _leader(standings: Iterable[Standing], contest: Contest) -> Estimate | None:
    better = BETTER.get(contest.metric, 0)
    means = [
        s.estimate
        for s in standings
        if s.contest == contest and s.estimate and np.isfinite(s.estimate.mean)
    ]
    return max(means, key=lambda e: better * e.mean, default=None) if better else None


def _same(found: Estimate | None, leader: Estimate) -> bool:
    return found is not None and found.mean == leader.mean


def _overlap(found: Estimate | None, leader: Estimate | None) -> bool:
    return found is not None and leader is not None and found.overlaps(leader)


def _mean_rank(ranks: list[float], best: float) -> Value:
    if not ranks:
        return Value("")
    mean = float(np.mean(ranks))
    return Value(f"{mean:.2f} ({len(ranks)})", best=mean == best)
