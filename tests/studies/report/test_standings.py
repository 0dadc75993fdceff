"""Standings, and the tables of them, on results that are made up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.studies.benchmark.results import Result, Trial
from wsrl.studies.report.layout import Value
from wsrl.studies.report.markdown import escaped
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.run_list import list_runs
from wsrl.studies.report.standings import Contest, Standing, find_standings
from wsrl.studies.report.tables import differences, judges, mean_ranks, table_of

SPLIT = "ood"
Outcome = float | str | None  # a value, an error, or not run


def predictions(encoder: str, outcomes: dict[int, Outcome]) -> dict[Trial, Outcome]:
    cells = (
        Trial(f"z/{encoder}/seed{k}/task-frozen", "prediction", "z", encoder, k, "task", "frozen")
        for k in outcomes
    )
    return dict(zip(cells, outcomes.values(), strict=True))


def baseline(name: str, value: float) -> dict[Trial, Outcome]:
    return {Trial(f"z/baselines/{name}/task", "baseline", "z", name, 0, "task"): value}


def benchmark(*groups: dict[Trial, Outcome], metric: str = "exact_match") -> Benchmark:
    outcomes = {cell: outcome for group in groups for cell, outcome in group.items()}
    results = {}
    for cell, outcome in outcomes.items():
        commands = (f"wsrl fit --seed_everything {cell.seed} --run z/seed{cell.seed} --size 10",)
        if isinstance(outcome, str):
            results[cell.name] = Result(cell, outcome, commands)
        elif outcome is not None:
            results[cell.name] = Result(cell, None, commands, {f"{SPLIT}/{metric}": outcome})
    return Benchmark(Path(), {"compare_with": "A"}, tuple(outcomes), results)


def standings(*groups: dict[Trial, Outcome], metric: str = "exact_match") -> dict[str, Standing]:
    return {s.encoder: s for s in find_standings(benchmark(*groups, metric=metric))}


def test_those_who_failed_are_last_and_those_who_have_not_run_take_no_part() -> None:
    found = standings(
        predictions("A", {0: 0.2, 1: 0.4}),
        predictions("B", {0: "no memory", 1: "no memory"}),
        predictions("C", {0: None, 1: None}),
        predictions("D", {0: 0.1, 1: math.nan}),
        predictions("E", {0: 0.9, 1: None}),
    )
    assert {name: s.rank for name, s in found.items()} == {
        "A": 2,
        "B": 3.5,
        "C": None,
        "D": 3.5,
        "E": 1,
    }
    assert found["E"].states == ("done", "missing")
    assert found["B"].failed == 2


@given(st.permutations(["A", "B", "C"]), st.permutations([0, 1, 2]))
def test_the_order_of_cells_is_irrelevant(encoders: list[str], seeds: list[int]) -> None:
    def value(encoder: str, seed: int) -> float:
        return {"A": 0.5, "B": 0.4, "C": 0.1}[encoder] + seed / 10

    found = standings(*(predictions(e, {k: value(e, k) for k in seeds}) for e in encoders))
    assert {name: s.rank for name, s in found.items()} == {"A": 1, "B": 2, "C": 3}
    assert found["A"].difference is None
    assert found["B"].difference.mean == pytest.approx(-0.1)
    assert found["C"].difference.seeds == 3
    assert found["C"].estimate.mean == pytest.approx(0.2)


def test_a_baseline_competes_in_every_mode_and_one_without_seeds_is_compared_with_each() -> None:
    scratch = {
        Trial(f"z/A/seed{k}/task-scratch", "prediction", "z", "A", k, "task", "scratch"): 0.3
        for k in (5, 6)
    }
    frozen = predictions("A", {5: 0.6, 6: 0.8})
    found = find_standings(benchmark(frozen, scratch, baseline("mean", 0.5)))
    ranks = {(s.contest.mode, s.encoder): s.rank for s in found}
    assert ranks == {
        ("frozen", "A"): 1,
        ("frozen", "mean"): 2,
        ("scratch", "A"): 2,
        ("scratch", "mean"): 1,
    }
    difference = next(s.difference for s in found if s.encoder == "mean")
    assert (difference.mean, difference.seeds) == (pytest.approx(-0.2), 2)


def test_baselines_alone_stand_too() -> None:
    found = standings(baseline("mean", 0.5), baseline("trees", 0.7))
    assert {name: s.rank for name, s in found.items()} == {"mean": 2, "trees": 1}


def row(table_rows: tuple[tuple[str, tuple[Value, ...]], ...], name: str) -> Value:
    return dict(table_rows)[name][0]


def test_the_best_is_marked_and_who_overlaps_with_it() -> None:
    found = standings(
        predictions("A", {0: 0.5, 1: 0.7}),
        predictions("B", {0: 0.4, 1: 0.55}),
        predictions("C", {0: 0.1, 1: 0.2}),
        predictions("D", {0: 0.9, 1: math.nan}),
        predictions("E", {0: 0.2, 1: "broken"}),
        predictions("F", {0: "broken", 1: "broken"}),
        metric="exact_match",
    )
    contest = found["A"].contest
    rows = table_of("t", found.values(), [contest]).rows
    marks = {name: (values[0].best, values[0].close) for name, values in rows}
    assert marks["A"] == (True, False)
    assert marks["B"] == (False, True)
    assert marks["C"] == marks["D"] == marks["E"] == marks["F"] == (False, False)
    assert row(rows, "A").text == "0.600 (0.500 to 0.700)"
    assert row(rows, "D").text == "NaN"
    assert row(rows, "E").note == "1 failed of 2 seeds"
    assert row(rows, "F").text == "failed"
    assert row(rows, "A").setting == "z/A/task-frozen"


@pytest.mark.parametrize(("metric", "word"), [("exact_match", "worse"), ("mae", "better")])
@pytest.mark.parametrize(("seeds", "lean"), [(2, "leans "), (5, "leans "), (6, "")])
def test_differences_beyond_zero_are_better_or_worse(
    metric: str, word: str, seeds: int, lean: str
) -> None:
    found = standings(
        predictions("A", {seed: 0.5 + 0.01 * seed for seed in range(seeds)}),
        predictions("B", {seed: 0.4 + 0.02 * seed for seed in range(seeds)}),
        predictions(
            "C", {seed: 0.5 + 0.01 * seed + (-1) ** seed / (seed + 3) for seed in range(seeds)}
        ),
        metric=metric,
    )
    rows = differences("t", found.values(), [found["A"].contest]).rows
    assert [name for name, _ in rows] == ["B", "C"]
    assert row(rows, "B").note == lean + word
    assert row(rows, "B").best == (lean + word == "better")
    assert row(rows, "C").note == ""


def test_mean_ranks_are_over_what_a_target_is_judged_by() -> None:
    found = standings(predictions("A", {0: 0.5}), predictions("B", {0: 0.9}), baseline("mean", 1.0))
    table = mean_ranks(found.values())
    assert table.columns == ("encoder", "frozen", "all")
    assert [(name, values[0].text) for name, values in table.rows] == [
        ("A", "3.00 (1)"),
        ("B", "2.00 (1)"),
    ]
    other = standings(predictions("A", {0: 0.5}), metric="kendall_tau")
    assert mean_ranks(other.values()) is None


def test_a_target_is_judged_by_one_metric() -> None:
    contests = [
        Contest("z", "angle_as_number", "frozen", split, metric)
        for split in ("validation", "ood")
        for metric in ("mae", "r2", "angular_error")
    ]
    assert [(c.split, c.metric) for c in judges(contests)] == [
        ("validation", "angular_error"),
        ("ood", "angular_error"),
    ]
    assert [c.metric for c in judges(contests[:2])] == ["mae"]


def test_commands_are_shown_again_only_where_more_than_the_seed_differs() -> None:
    found = benchmark(predictions("A", {10: 0.1, 11: 0.2}))
    content, anchors = list_runs(found)
    assert "the same commands with seed 11" in content
    assert content.count("<pre>") == 1
    assert "--size 10" in content
    assert list(anchors) == ["z/A/task-frozen"]
    other = found.results["z/A/seed11/task-frozen"]
    changed = Result(other.cell, None, ("wsrl fit --seed_everything 11 --size 11",), other.metrics)
    found.results["z/A/seed11/task-frozen"] = changed
    assert list_runs(found)[0].count("<pre>") == 2


def test_markdown_shows_text_as_it_is() -> None:
    assert escaped("a|b\n*c* <d>") == r"a\|b \*c\* \<d\>"
