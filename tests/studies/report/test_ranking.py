"""The ranking, and the tables of it, on results that are made up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.studies.benchmark.results import Result, Trial
from wsrl.studies.report.ranking import rank
from wsrl.studies.report.reading import Benchmark, rows_of
from wsrl.studies.report.tables import Value, contest_table, differences, means, rank_table
from wsrl.tasks.targets import TARGETS, TargetKind

SPLIT = "ood"
Outcome = float | str | None  # a value, an error, or not run


def predictions(
    encoder: str, outcomes: dict[int, Outcome], mode: str = "frozen"
) -> dict[Trial, Outcome]:
    return {
        Trial(f"z/{encoder}/seed{k}/task-{mode}", "prediction", "z", encoder, k, "task", mode): v
        for k, v in outcomes.items()
    }


def baseline(name: str, value: float) -> dict[Trial, Outcome]:
    return {Trial(f"z/baselines/{name}/task", "baseline", "z", name, 0, "task"): value}


def measured(*groups: dict[Trial, Outcome], metric: str = "exact_match") -> Benchmark:
    outcomes = {trial: outcome for group in groups for trial, outcome in group.items()}
    results = [
        Result(trial, outcome)
        if isinstance(outcome, str)
        else Result(trial, None, metrics={f"{SPLIT}/{metric}": outcome})
        for trial, outcome in outcomes.items()
        if outcome is not None
    ]
    return Benchmark.of(Path(), {"compare_with": "A"}, list(outcomes), results)


def ranking(*groups: dict[Trial, Outcome], metric: str = "exact_match") -> pd.DataFrame:
    return rank(measured(*groups, metric=metric))


def entries(found: pd.DataFrame) -> dict[str, Any]:
    return {row.encoder: row for row in rows_of(found)}


def ranks(found: pd.DataFrame) -> dict[str, float | None]:
    return {name: None if math.isnan(e.rank) else e.rank for name, e in entries(found).items()}


def test_what_failed_is_last_and_what_has_not_run_takes_no_part() -> None:
    found = ranking(
        predictions("A", {0: 0.2, 1: 0.4}),
        predictions("B", {0: "no memory", 1: "no memory"}),
        predictions("C", {0: None, 1: None}),
        predictions("D", {0: 0.1, 1: math.nan}),
        predictions("E", {0: 0.9, 1: None}),
    )
    assert ranks(found) == {"A": 2, "B": 3.5, "C": None, "D": 3.5, "E": 1}
    assert (entries(found)["E"].seeds, entries(found)["E"].missing) == (1, 1)
    assert entries(found)["B"].failed == 2


@given(st.permutations(["A", "B", "C"]), st.permutations([0, 1, 2]))
def test_the_order_of_runs_is_irrelevant(encoders: list[str], seeds: list[int]) -> None:
    def value(encoder: str, seed: int) -> float:
        return {"A": 0.5, "B": 0.4, "C": 0.1}[encoder] + seed / 10

    found = ranking(*(predictions(e, {k: value(e, k) for k in seeds}) for e in encoders))
    assert ranks(found) == {"A": 1, "B": 2, "C": 3}
    known = entries(found)
    assert math.isnan(known["A"].difference)
    assert known["B"].difference == pytest.approx(-0.1)
    assert known["C"].difference_seeds == 3
    assert known["C"].mean == pytest.approx(0.2)


def test_a_baseline_competes_in_every_mode_and_one_without_seeds_is_compared_with_each() -> None:
    frozen = predictions("A", {5: 0.6, 6: 0.8})
    scratch = predictions("A", {5: 0.3, 6: 0.3}, mode="scratch")
    table = ranking(frozen, scratch, baseline("mean", 0.5))
    found = {(row.mode, row.encoder): row for row in rows_of(table)}
    assert {key: row.rank for key, row in found.items()} == {
        ("frozen", "A"): 1,
        ("frozen", "mean"): 2,
        ("scratch", "A"): 2,
        ("scratch", "mean"): 1,
    }
    row = found["frozen", "mean"]
    assert (row.difference, row.difference_seeds) == (pytest.approx(-0.2), 2)
    # Baselines alone are ranked too.
    assert ranks(ranking(baseline("mean", 0.5), baseline("trees", 0.7))) == {"mean": 2, "trees": 1}


def values(found: pd.DataFrame, shown: Any = means) -> dict[str, Value]:
    return {name: row[0] for name, row in contest_table("t", found, shown).rows.items()}


def test_the_best_is_marked_and_what_overlaps_with_it() -> None:
    found = ranking(
        predictions("A", {0: 0.5, 1: 0.7}),
        predictions("B", {0: 0.4, 1: 0.55}),
        predictions("C", {0: 0.1, 1: 0.2}),
        predictions("D", {0: 0.9, 1: math.nan}),
        predictions("E", {0: 0.2, 1: "broken"}),
        predictions("F", {0: "broken", 1: "broken"}),
    )
    shown = values(found)
    assert {name for name, value in shown.items() if value.best} == {"A"}
    assert {name for name, value in shown.items() if value.close} == {"B"}
    assert (shown["A"].text, shown["A"].range) == ("0.600", "0.500 to 0.700")
    assert shown["D"].text == "NaN"
    assert shown["E"].note == "1 failed of 2 seeds"
    assert shown["F"].text == "failed"
    shown = values(ranking(predictions("A", {0: 0.5}), predictions("B", {0: 0.5})))
    assert not any(value.best or value.close for value in shown.values())  # where all are equal


@pytest.mark.parametrize(("metric", "word"), [("exact_match", "worse"), ("mae", "better")])
@pytest.mark.parametrize(("seeds", "lean"), [(2, "leans "), (5, "leans "), (6, "")])
def test_differences_beyond_zero_are_better_or_worse(
    metric: str, word: str, seeds: int, lean: str
) -> None:
    found = ranking(
        predictions("A", {seed: 0.5 + 0.01 * seed for seed in range(seeds)}),
        predictions("B", {seed: 0.4 + 0.02 * seed for seed in range(seeds)}),
        predictions(
            "C", {seed: 0.5 + 0.01 * seed + (-1) ** seed / (seed + 3) for seed in range(seeds)}
        ),
        metric=metric,
    )
    shown = values(found, differences)
    assert shown["A"] == Value()
    assert shown["B"].note == lean + word
    assert shown["B"].best == (lean + word == "better")
    assert shown["C"].note == ""


def test_mean_ranks_are_over_what_a_target_is_judged_by() -> None:
    benchmark = measured(
        predictions("A", {0: 0.5}), predictions("B", {0: 0.9}), baseline("mean", 1.0)
    )
    made = rank_table(rank(benchmark), benchmark)
    assert made is not None
    assert made.columns[:3] == ["encoder", "all", "frozen"]
    assert {name: row[0].text for name, row in made.rows.items()} == {"B": "2.00", "A": "3.00"}
    undirected = measured(predictions("A", {0: 0.5}), metric="kendall_tau")
    assert rank_table(rank(undirected), undirected) is None


class Own(TargetKind):
    """What a report reads of another package's kind."""

    name = "own"
    better: ClassVar[Mapping[str, int]] = {"coverage": 1, "distance": -1, "mae": -1}


def test_a_kind_from_outside_is_judged_by_its_main_metric() -> None:
    trials = [*predictions("A", {0: None}), *predictions("B", {0: None})]
    names = ("coverage", "distance", "mae", "other")
    metrics = [dict.fromkeys((f"{SPLIT}/{name}" for name in names), value) for value in (1.0, 2.0)]
    results = [Result(t, None, metrics=m) for t, m in zip(trials, metrics, strict=True)]
    with TARGETS.restored():
        TARGETS.register(Own)
        found = rank(Benchmark.of(Path(), {}, trials, results))
        assert set(found.metric[found.judged]) == set(found.metric[found.lead]) == {"coverage"}
        best = {name: best_of(found[found.metric == name]) for name in names}
    assert best == {"coverage": ["B"], "distance": ["A"], "mae": ["A"], "other": []}
    found = rank(Benchmark.of(Path(), {}, trials, results))  # not registered
    assert set(found.metric[found.judged]) == {"mae"}
    assert best_of(found[found.metric == "coverage"]) == []


def best_of(found: pd.DataFrame) -> list[str]:
    return [label for label, value in values(found).items() if value.best]


def test_a_target_is_judged_by_one_metric() -> None:
    (trial,) = predictions("A", {0: None})
    metrics = {f"{s}/{m}": 1.0 for s in ("validation", "ood") for m in ("mae", "r2", "exact_match")}
    for removed, expected in (("", "exact_match"), ("ood/exact_match", "mae")):
        metrics.pop(removed, None)
        found = rank(Benchmark.of(Path(), {}, [trial], [Result(trial, None, metrics=metrics)]))
        judged = found[found.judged].set_index("split").metric.to_dict()
        assert judged == {"validation": "exact_match", "ood": expected}
