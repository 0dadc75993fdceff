"""When a basis is trusted: circuits that are right, and every way of being wrong."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from tests.analysis.circuits import (
    drawn,
    interactions_of,
    matrices,
    orthonormal,
    published,
    relabelled,
    with_matrices,
)
from wsrl.analysis.episodic_memory import circuit
from wsrl.analysis.memory_analysis import (
    MemoryAnalysis,
    MemorySettings,
    Moduli,
    Start,
    analyze_memory,
)
from wsrl.analysis.trust import RULES, Figures, explained_variance
from wsrl.analysis.variable_bases import Dual, Grounding
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import RNNSpec, RNNWeights

rng = np.random.default_rng(0)
GROUNDINGS, STARTS, DUALS, MODULI = map(get_args, (Grounding, Start, Dual, Moduli))
FAST = {"horizon": 60, "sequences": 32}


def analyze(
    weights: RNNWeights, task: BindingTask, grounding: Grounding = "input", **options: object
) -> MemoryAnalysis:
    settings = MemorySettings(grounding, **{**FAST, "start": "variables", **options})
    (analysis,) = analyze_memory(weights, [task.matrix()], settings)
    check_values(analysis)
    return analysis


def check_values(analysis: MemoryAnalysis) -> None:
    for value in dataclasses.asdict(analysis.figures).values():
        assert value is None or np.isfinite(value).all()
    assert (analysis.verdict == "trusted") == (not analysis.reasons)


def some_circuit(
    task: BindingTask, size: int = 64, cell: str = "linear", scale: float = 1.0
) -> RNNWeights:
    own = interactions_of(task)
    return circuit(own, scale * orthonormal(rng, size, own.rank), cell)


@pytest.mark.parametrize("moduli", MODULI)
@pytest.mark.parametrize("grounding", GROUNDINGS)
@pytest.mark.parametrize("task", [*published(), *drawn(3)], ids=lambda task: f"{task.sources}"[:20])
def test_exact_circuits_are_trusted(
    task: BindingTask, grounding: Grounding, moduli: Moduli
) -> None:
    found = analyze(some_circuit(task), task, grounding, moduli=moduli)
    assert found.verdict == "trusted"
    figures = found.figures
    assert figures.rank_found == figures.rank_expected == task.lasting()
    assert max(figures.spectral_error, figures.interaction_error) < 1e-6
    assert figures.variables_read == figures.output_right == 1
    assert figures.explained_variance == pytest.approx(1)
    assert figures.step_error == pytest.approx(0, abs=1e-6)
    if grounding != "output":  # right in any injective basis
        own = interactions_of(task)
        weights = circuit(own, rng.normal(size=(128, own.rank)))
        assert analyze(weights, task, grounding, moduli=moduli).verdict == "trusted"


def deaf_to_one_of_many() -> tuple[RNNWeights, BindingTask]:
    """An ignored dimension is little beside 109 others."""
    task = BindingTask.from_name("repeat_copy", 1, 110)
    weights = some_circuit(task, 112)
    weights.tensors()["rnn.weight_ih_l0"][0, :, 5] = 0
    return weights, task


def drowned_by_its_input(name: str) -> tuple[RNNWeights, BindingTask]:
    """Inputs also saturate all neurons, from a direction that no variable sees."""
    task = BindingTask.from_name(name, 4, 4)
    weights = some_circuit(task, 32, "tanh", 0.3)
    inward, recurrent, readout = matrices(weights)
    unseen = np.linalg.svd(recurrent)[2][-4:].T
    return with_matrices(weights, inward + 30 * unseen, recurrent, readout), task


def test_a_wrong_input_phase_is_not_passed_over() -> None:
    """By itself only an RNN that composes what it should is started in its variables."""
    cases = (deaf_to_one_of_many(), *map(drowned_by_its_input, ("repeat_copy", "compose_copy")))
    for weights, task in cases:
        found = analyze(weights, task, "output", start="auto")
        assert found.figures.readout_error == pytest.approx(0, abs=1e-6)
        assert (found.verdict, found.start) == ("doubtful", "inputs")


@pytest.mark.parametrize("grounding", ["output", "observability"])
def test_an_input_that_is_not_run_must_at_least_write_its_variables(grounding: Grounding) -> None:
    """Both output the same two numbers in turn, but one reads dimension 0 and one dimension 1."""
    task, other = BindingTask((0, 2), (1, 1), 2), BindingTask((3, 1), (1, 1), 2)
    found = analyze(some_circuit(other), task, grounding)
    assert found.figures.variables_read == 1
    assert found.verdict == "doubtful"
    assert [reason for reason in found.reasons if "input_error 1," in reason] == list(found.reasons)
    assert analyze(some_circuit(task), task, grounding).verdict == "trusted"


def test_what_never_changes_has_no_variance() -> None:
    task = BindingTask.from_name("repeat_copy", 1, 2)
    found = analyze(some_circuit(task), task, sequences=1)
    assert found.figures.explained_variance is None
    assert "zero or not finite: explained_variance" in found.reasons[0]


def test_circuits_that_compose_early_are_started_in_their_variables() -> None:
    task = BindingTask.from_name("compose_copy", 4, 4)
    for cell, scale in (("linear", 1.0), ("tanh", 0.3)):
        found = analyze(some_circuit(task, 32, cell, scale), task, start="auto")
        assert (found.verdict, found.start) == ("trusted", "variables")


@pytest.mark.parametrize("cell", ["tanh", "linear", "lstm", "gru"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 0.3, 1.0, 1e8, 1e30])
def test_random_rnns_of_any_size_are_not_trusted(cell: str, scale: float) -> None:
    """Nor do they give an error, or a figure that is not finite."""
    task, generator = drawn(1)[0], torch.Generator().manual_seed(1)
    for bias in (False, True) if scale in (0.3, 1.0) else (False,):
        spec = RNNSpec(cell, 4, 12, 1, 4, bias)
        flat = scale * torch.randn(1, spec.num_parameters, generator=generator)
        for grounding in GROUNDINGS[: 1 if bias else None]:  # searches take their time
            for start, moduli in (("inputs", "unit"), ("variables", "found")):
                options = {"start": start, "moduli": moduli}
                assert analyze(RNNWeights(flat, spec), task, grounding, **options).reasons


@pytest.mark.parametrize("dual", DUALS)
@pytest.mark.parametrize("moduli", MODULI)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("grounding", GROUNDINGS)
def test_another_task_of_the_same_spectrum_is_not_trusted(
    grounding: Grounding, start: Start, moduli: Moduli, dual: Dual
) -> None:
    random = np.random.default_rng(4)
    options = {"start": start, "moduli": moduli, "dual": dual}
    for task in [published()[2], *drawn(2, seed=4)]:
        other = task
        while other == task:
            other = relabelled(task, random.permutation(task.dims))
        found = analyze(some_circuit(other), task, grounding, **options)
        assert found.figures.spectral_error < 1e-6
        assert found.verdict != "trusted"


def changed(
    weights: RNNWeights, noise: float = 0.0, gain: float = 1.0, bonus: float = 0.0
) -> RNNWeights:
    """Noise on the recurrent weights, all of them multiplied, and a direction that lasts."""
    inward, recurrent, readout = matrices(weights)
    free = np.linalg.svd(recurrent)[2][-1]  # which the circuit does not use
    noisy = gain * recurrent + noise * rng.normal(size=recurrent.shape) / 8
    return with_matrices(weights, inward, noisy + bonus * np.outer(free, free), readout)


@pytest.mark.parametrize(
    ("grounding", "cell", "change", "verdict"),
    [
        ("input", "linear", {"noise": 0.001}, "trusted"),
        ("input", "linear", {"noise": 0.3}, "doubtful"),
        ("observability", "tanh", {"gain": 1.05}, "trusted"),
        ("observability", "tanh", {"gain": 2.0}, "doubtful"),  # saturated
        ("input", "linear", {"gain": 0.8}, "no basis"),  # all decays
        ("input", "linear", {"bonus": 1.0}, "no basis"),  # more lasts than should
    ],
)
def test_trust_is_lost_by_degrees(
    grounding: Grounding, cell: str, change: dict[str, float], verdict: str
) -> None:
    task = drawn(1, seed=5)[0]
    weights = some_circuit(task, cell=cell, scale=0.5 if cell == "tanh" else 1.0)
    found = analyze(changed(weights, **change), task, grounding, horizon=200)
    assert found.verdict == verdict
    lasting = found.figures.rank_found == task.lasting()
    assert lasting == (found.figures.spectral_error is not None) == (verdict != "no basis")
    assert lasting == (not any("rank mismatch" in reason for reason in found.reasons))


def test_memories_that_hardly_differ_cost_trust() -> None:
    task = drawn(1, seed=5)[0]
    own = interactions_of(task)
    left, right = orthonormal(rng, 64, own.rank), orthonormal(rng, own.rank, own.rank)
    for condition, verdict in ((10.0, "trusted"), (1e5, "doubtful")):
        weights = circuit(own, left * np.geomspace(1, 1 / condition, own.rank) @ right)
        assert analyze(weights, task).verdict == verdict
    inward, *others = matrices(circuit(own, left @ right))
    dependent = with_matrices(weights, np.repeat(inward[:, :1], task.dims, 1), *others)
    assert analyze(dependent, task).verdict == "no basis"


@pytest.mark.parametrize("grounding", GROUNDINGS)
def test_an_unrelated_readout_or_input_is_not_trusted(grounding: Grounding) -> None:
    task = BindingTask.from_name("repeat_copy", 3, 3)
    weights = some_circuit(task)
    inward, recurrent, readout = matrices(weights)
    deaf = with_matrices(weights, rng.normal(size=inward.shape), recurrent, readout)
    mute = with_matrices(weights, inward, recurrent, rng.normal(size=readout.shape))
    assert analyze(weights, task, grounding, start="inputs").verdict == "trusted"
    for broken in (deaf, mute):
        assert analyze(broken, task, grounding, start="inputs").verdict != "trusted"


def test_with_biases_it_is_linearised_at_a_fixed_point() -> None:
    """A linear circuit moved away from the origin: ``h' = W (h - p) + p``, ``y = R (h - p)``."""
    task = drawn(1, seed=6)[0]
    plain = some_circuit(task, 24)
    inward, recurrent, readout = matrices(plain)
    point = rng.normal(size=24)
    spec = RNNSpec("linear", 4, 24, 1, 4, True)
    # Its fixed points are not one but many where an eigenvalue is 1: a little less than 1 is one.
    recurrent = 0.9999 * recurrent
    parts = (inward, recurrent, point - recurrent @ point, np.zeros(24), readout, -readout @ point)
    flat = torch.from_numpy(np.concatenate([part.ravel() for part in parts]))
    found = analyze(RNNWeights(flat[None], spec), task)
    np.testing.assert_allclose(found.rnn.point, point, atol=1e-4)
    assert found.verdict == "trusted"


def test_a_search_without_end_is_reported() -> None:
    """``h' = h + b`` never stands still."""
    task = BindingTask.from_name("repeat_copy", 1, 2)
    spec = RNNSpec("linear", 2, 2, 1, 2, True)
    eye = np.eye(2).ravel()
    flat = np.concatenate([eye, eye, [1.0, 2.0], np.zeros(2), eye, np.zeros(2)])
    found = analyze(RNNWeights(torch.from_numpy(flat)[None], spec), task)
    assert found.verdict == "doubtful"
    assert any("stand still" in reason for reason in found.reasons)


def test_many_rnns_are_as_one_by_one() -> None:
    tasks = drawn(3, seed=7)
    weights = [some_circuit(task, 32, "tanh", 0.3) for task in tasks]
    settings = MemorySettings("input", **FAST)
    together = analyze_memory(RNNWeights.cat(weights), [t.matrix() for t in tasks], settings)
    for one, task, found in zip(weights, tasks, together, strict=True):
        (alone,) = analyze_memory(one, [task.matrix()], settings)
        assert alone.reasons == found.reasons
        assert alone.figures.distance == pytest.approx(found.figures.distance)
        assert alone.figures.step_error == pytest.approx(found.figures.step_error)


def test_what_is_outside_of_the_basis_is_summarised() -> None:
    states = rng.normal(size=(20, 30, 8)) * np.array([4, 3, 2, 1, 1, 0, 0, 0])
    residual = states.copy()
    residual[..., :2] = 0
    left, total = (np.square(v - v.mean((0, 1))).sum() for v in (residual, states))
    assert explained_variance(residual, states) == pytest.approx(1 - left / total)


def test_every_rule_is_about_a_figure_and_breaks_on_its_far_side() -> None:
    names = {field.name for field in dataclasses.fields(Figures)}
    for rule in RULES:
        assert rule.figure in names
        beyond = rule.bound * (0.99 if rule.at_least else 1.01)
        assert rule.broken(rule.bound) is None
        assert rule.figure in (rule.broken(beyond) or "")
        assert rule.broken(None) is None


def test_the_documented_bounds_are_the_rules() -> None:
    text = (Path(__file__).parents[2] / "docs/variable_memories.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| at (least|most) (\S+)", text, re.MULTILINE)
    assert rows == [
        (rule.figure, "least" if rule.at_least else "most", f"{rule.bound:g}") for rule in RULES
    ]


def test_bad_settings_and_weights_are_refused() -> None:
    bad = {"start": "x", "threshold": 1.5, "horizon": 0, "seed": -1}
    for name, value in bad.items():
        with pytest.raises(ValueError, match=name):
            MemorySettings(**{name: value})
    task = BindingTask.from_name("repeat_copy", 2, 2)
    weights = some_circuit(task, 8)
    with pytest.raises(ValueError, match="a task for each of 1 RNNs"):
        analyze_memory(weights, [task.matrix()] * 2)
    with pytest.raises(ValueError, match="2 inputs and 2 outputs"):
        analyze_memory(weights, [BindingTask.from_name("repeat_copy", 2, 3).matrix()])
    weights.flat[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not all finite"):
        analyze_memory(weights, [task.matrix()])
