"""How much RNNs that solve a task differ: groups, intervals, and what makes them differ less."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from wsrl.analysis.similarity import mean_distance, spread_difference
from wsrl.cli import main
from wsrl.problems import FlipFlop
from wsrl.studies.degeneracy import Degeneracy, Group, find_degeneracy
from wsrl.studies.degeneracy.measuring import draw_alike
from wsrl.studies.similarity import Similarity, SimilaritySettings, Subjects, measure
from wsrl.zoos import BuildSettings, Zoo, build_zoo

Array = NDArray[np.float64]


def distances(count: int, scale: float, seed: int = 0) -> Array:
    points = scale * np.random.default_rng(seed).normal(size=(count, 3))
    apart: Array = np.linalg.norm(points[:, None] - points, axis=2)
    return apart


def test_a_mean_distance_has_an_interval_over_rnns() -> None:
    apart = distances(30, 1.0)
    found = mean_distance(apart)
    pairs = [apart[i, j] for i, j in itertools.combinations(range(30), 2)]
    assert found.mean == pytest.approx(np.mean(pairs))
    random, means = np.random.default_rng(5), []
    for _ in range(1000):
        drawn = random.choice(30, 30)
        one, other = np.triu_indices(30, 1)
        different = drawn[one] != drawn[other]
        means.append(apart[drawn[one], drawn[other]][different].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.03)
    assert found.high == pytest.approx(high, abs=0.03)
    assert mean_distance(distances(9, 1.0)).low is None
    assert mean_distance(2 * apart).low == pytest.approx(2 * (found.low or 0))


def test_rnns_of_one_run_are_resampled_together() -> None:
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        points = random.normal(size=(20, 3))
        later = 0.9 * points + 0.05 * random.normal(size=(20, 3))
        one, other = (np.linalg.norm(p[:, None] - p, axis=2) for p in (points, later))
        paired = spread_difference(one, other, (range(20), range(20)), samples=200)
        found.append((one, other, paired, spread_difference(one, other, samples=200)))
    truth = np.mean([paired.mean for _, _, paired, _ in found])
    ends = np.array([[p.low, p.high, u.low, u.high] for _, _, p, u in found], float)
    covered = ((ends[:, 0] < truth) & (truth < ends[:, 1])).mean()
    assert 0.9 < covered < 0.99
    assert np.mean(ends[:, 1] - ends[:, 0]) < 0.3 * np.mean(ends[:, 3] - ends[:, 2])
    # In another order it is the same; of half of the runs alone the interval is in between.
    one, other, paired, apart = found[0]
    order = random.permutation(20)
    together = range(20), order.argsort()
    turned = spread_difference(one, other[np.ix_(order, order)], together, samples=200)
    assert turned.high == pytest.approx(paired.high)
    half = spread_difference(one, other, (range(10), range(10)), samples=200)
    widths = [each.high - each.low for each in (paired, half, apart) if each.high and each.low]
    assert widths == sorted(widths)


def group(scale: float, count: int = 30, place: str = "", **facts: object) -> Group:
    about = {"zoo": str(facts), "cell": "gru", "hidden_size": 8, "step": 10, **facts}
    every = {"dsa": distances(count, scale), "weights": distances(count, 1 / scale, seed=2)}
    frames = {name: pd.DataFrame(apart) for name, apart in every.items()}
    return Group(Path(place or str(facts)), about, count, count, frames)


def test_directions_are_found_between_groups_that_differ_in_one_fact_alone() -> None:
    groups = group(1.0), group(0.5, hidden_size=16), group(0.5, hidden_size=16, cell="tanh")
    rows = Degeneracy(groups, ()).directions()
    found = {(r["factor"], r["distance"]): (r["found"], r["published"], r["verdict"]) for r in rows}
    assert found == {
        ("hidden_size", "dsa"): ("less", "less", "holds"),
        ("hidden_size", "weights"): ("more", "less", "does not hold"),
    }
    assert {(r["smaller"], r["larger"], r["cell"], r["hidden_size"], r["step"]) for r in rows} == {
        (8, 16, "gru", None, 10)
    }
    few = Degeneracy((group(1.0, 5), group(0.5, 5, step=20)), ()).directions()
    assert {(row["factor"], row["found"]) for row in few} == {("step", "too few RNNs")}
    same = Degeneracy((group(1.0), group(1.0, bits=3)), ()).directions()
    assert same == []  # one group alone says how many bits
    bits = Degeneracy((group(1.0, bits=2), group(1.01, bits=3)), ()).directions()
    assert [row["found"] for row in bits] == ["undecided"] * 2
    for place, less in (("one zoo", "less"), ("", "undecided")):
        steps = Degeneracy((group(1.0, place=place), group(0.97, place=place, step=20)), ())
        assert steps.directions()[0]["found"] == less  # of the same runs, or of others
    change = spread_difference(distances(30, 1.0), distances(30, 3.0))
    assert change.low is not None
    assert change.low > 0


def test_a_zoo_is_one_command(zoo: Zoo, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "degeneracy"
    first, last = zoo.steps[0], zoo.steps[-1]
    words = ["degeneracy", str(zoo.path), "--performance", "-1", "--rnns", "10"]
    words += ["--steps", str(first), str(last), "--levels", "behaviour", "weights"]
    assert main([*words, "--out", str(out)]) == 0
    assert f"{last}: RNNs have " in capsys.readouterr().out
    rows = list(csv.DictReader((out / "degeneracy.csv").open()))
    assert [int(row["step"]) for row in rows] == [first, last]
    assert all(float(row["weights_low"]) < float(row["weights"]) for row in rows)
    directions = list(csv.DictReader((out / "directions.csv").open()))
    assert {row["factor"] for row in directions} == {"step"}
    assert {row["distance"] for row in directions} == {"behaviour", "behaviour outside", "weights"}
    page = (out / "degeneracy.html").read_text()
    assert page.count('class="chart"') == 3
    capsys.readouterr()
    assert main(["degeneracy", str(zoo.path), "--performance", "2"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(ValueError, match="groups must have at least 3 RNNs, not 2: draw more"):
        find_degeneracy([zoo.path], rnns=2)
    assert "0 of 24 RNNs solve the task (performance of at least 2), 3 are needed" in error


def test_zoos_trained_in_other_ways_are_not_said_to_differ_in_size_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = FlipFlop(2, 8, 0.5, 0.0, evaluated_trials=2, stored_trials=2)
    rates = {"a": (4, 8, 0.01), "b": (6, 12, 0.01), "c": (4, 16, 0.02)}
    for name, (runs, size, rate) in rates.items():
        settings = BuildSettings(
            runs=runs, hidden_size=size, num_layers=1, snapshots=(0,), learning_rates=[(0, rate)]
        )
        build_zoo(tmp_path / name, problem, settings, quiet=True)
    compared = []

    def measured(subjects: Subjects, *more: Any) -> Similarity:
        compared.append(subjects)
        return measure(subjects, *more)

    monkeypatch.setattr("wsrl.studies.degeneracy.measuring.measure", measured)
    settings = SimilaritySettings(("behaviour",))
    found = find_degeneracy([tmp_path], performance=0, sequences=4, settings=settings)
    assert [g.place for g in found.groups] == [tmp_path / name for name in rates]
    for held in (g.distances["behaviour"].index.tolist() for g in found.groups):
        assert held == [*range(len(held))]  # distances are of runs
    assert {(row["smaller"], row["larger"]) for row in found.directions()} == {(8, 12)}
    assert "learning_rates" in found.differing()
    first, more, _ = compared  # zoos of one task are compared on the same inputs
    assert (len(first.rnns), len(more.rnns)) == (4, 6)
    assert torch.equal(first.inputs, more.inputs)


def test_the_same_runs_are_drawn_at_every_step(zoo: Zoo) -> None:
    rows = [(zoo.read("step") == step).nonzero()[:, 0] for step in zoo.steps[:2]]
    rows = [rows[0][:16], rows[1][6:].flip(0)]  # runs 0 to 15 and 6 to 23 solve the task
    early, late = draw_alike(zoo, rows, 8, 0)
    assert zoo.read("run", early).tolist() == zoo.read("run", late).tolist()
    assert len({*early.tolist()}) == 8
    assert not torch.equal(draw_alike(zoo, rows, 8, 1)[0], early)
    early, late = draw_alike(zoo, rows, 12, 0)
    assert {*range(6, 16)} < {*zoo.read("run", early).tolist()} < {*range(16)}
    assert {*range(6, 16)} < {*zoo.read("run", late).tolist()}
    assert len(draw_alike(zoo, rows, 99, 0)[0]) == 16
    first = (zoo.read("step") == zoo.steps[2]).nonzero()[7:9, 0]  # few solve it at a third step
    _, *two = draw_alike(zoo, [first, *rows], 8, 0)
    assert zoo.read("run", two[0]).tolist() == zoo.read("run", two[1]).tolist()
