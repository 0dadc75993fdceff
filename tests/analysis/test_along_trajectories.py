"""RNNs judged along trajectories: circuits that saturate, and all that must not be trusted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.circuits import (
    drawn,
    interactions_of,
    matrices,
    orthonormal,
    relabelled,
    saturating,
    state_machine,
    system_of,
    with_matrices,
)
from wsrl.analysis.episodic_memory import circuit, saturating_circuit
from wsrl.analysis.interventions import intervene
from wsrl.analysis.memory_analysis import AnyGrounding, MemoryAnalysis, MemorySettings
from wsrl.analysis.memory_analysis import analyze_memory as analyze_memories
from wsrl.analysis.spectra import lasting_eigenvalues
from wsrl.analysis.trajectories import SLOPES, fit_rnns, run_freely, states_after, transport
from wsrl.analysis.variable_bases import variable_basis
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import RNNSpec, RNNWeights, advance, linearize

rng = np.random.default_rng(0)
COMPOSE = BindingTask.from_name("compose_copy", 3, 3)
PERMUTED = BindingTask((6, 1, 8), (1, -1, 1), 3)
REPEAT = BindingTask.from_name("repeat_copy", 3, 3)
FAST = {"horizon": 40, "sequences": 16}


def analyze(weights: RNNWeights, task: BindingTask, **options: object) -> MemoryAnalysis:
    settings = MemorySettings(**{**FAST, **options})
    (analysis,) = analyze_memories(weights, [task.matrix()], settings)
    return analysis


@pytest.mark.parametrize("gain", [1.6, 2.5, 4.0])
@pytest.mark.parametrize("task", [COMPOSE, PERMUTED, REPEAT])
def test_circuits_that_saturate_are_trusted_along_trajectories_alone(
    task: BindingTask, gain: float
) -> None:
    weights = saturating(task, gain)
    found = analyze(weights, task, grounding="observability")
    assert (found.verdict, found.along, found.start) == ("trusted", "trajectories", "inputs")
    figures = found.figures
    assert figures.variables_read_first == figures.variables_read == figures.output_right == 1
    assert figures.flip_right == figures.flip_kept == figures.exchange_right == 1
    assert max(figures.interaction_error, figures.boundary_error) < 0.1
    at_point = analyze(weights, task, grounding="observability", along="fixed_point")
    assert at_point.verdict != "trusted"
    assert at_point.figures.flip_right is None


@pytest.mark.parametrize("grounding", ["auto", "observability", "wave", "input"])
def test_bases_from_either_end_agree(grounding: AnyGrounding) -> None:
    """The newest vector as it is output, as it was, and as it was written."""
    found = analyze(saturating(PERMUTED, 2.0), PERMUTED, along="trajectories", grounding=grounding)
    assert found.verdict == "trusted"
    assert found.grounding == ("observability" if grounding == "auto" else grounding)
    own = interactions_of(PERMUTED)
    values = rng.choice([-1.0, 1.0], (64, 9))
    states = states_after(saturating(PERMUTED, 2.0), torch.from_numpy(values.reshape(1, 64, 3, 3)))
    states = run_freely(saturating(PERMUTED, 2.0), states, 12)[0][0].numpy()
    read = found.basis.read(states[:, 3:] - found.rnn.point)
    np.testing.assert_allclose(read, own.follow(values, 12)[:, 3:, own.kept], atol=0.2)


def test_a_linear_circuit_is_trusted_either_way() -> None:
    weights = circuit(interactions_of(REPEAT), rng.normal(size=(24, 9)))
    for along in ("fixed_point", "trajectories"):
        found = analyze(weights, REPEAT, grounding="observability", along=along)
        assert (found.verdict, found.along) == ("trusted", along)


def wrong() -> list[tuple[str, RNNWeights, BindingTask]]:
    """RNNs beside tasks that they do not do, or not by variables."""
    good, generator = saturating(COMPOSE, 2.0), torch.Generator().manual_seed(0)
    shuffled = np.random.default_rng(0).permuted
    inward, recurrent, readout = matrices(good)
    spec = good.spec
    bound = spec.hidden_size**-0.5
    untrained = torch.empty(1, spec.num_parameters).double()
    untrained.uniform_(-bound, bound, generator=generator)
    turned = BindingTask.from_name("repeat_copy", 1, 3)
    return [
        ("another task", good, PERMUTED),
        ("of the same spectrum", good, relabelled(COMPOSE, np.array([1, 2, 0]))),
        ("the other sign", good, BindingTask((0, 4, 8), (1, 1, -1), 3)),
        ("untrained", RNNWeights(untrained, spec), COMPOSE),
        ("chaotic", RNNWeights(8 * untrained, spec), COMPOSE),
        ("shuffled readout", with_matrices(good, inward, recurrent, shuffled(readout)), COMPOSE),
        ("shuffled input", with_matrices(good, shuffled(inward), recurrent, readout), COMPOSE),
        ("deaf", with_matrices(good, 0 * inward, recurrent, readout), COMPOSE),
        ("state machine", state_machine(turned), turned),
    ]


@pytest.mark.parametrize("grounding", ["observability", "wave", "input", "output"])
@pytest.mark.parametrize(("name", "weights", "task"), wrong(), ids=[name for name, *_ in wrong()])
def test_what_is_wrong_is_not_trusted(
    name: str, weights: RNNWeights, task: BindingTask, grounding: AnyGrounding
) -> None:
    found = analyze(weights, task, along="trajectories", grounding=grounding)
    assert found.verdict != "trusted"
    assert found.reasons


def test_a_state_machine_gives_itself_away_by_what_changes_do() -> None:
    """It outputs what it should, its states tell the variables; but it does not use these."""
    task = BindingTask((1, 2, 0), (1, -1, 1), 1)
    found = analyze(state_machine(task), task, along="trajectories")
    assert found.figures.output_right == found.figures.variables_read == 1
    assert found.figures.variables_read_first == 1
    away, memories = found.states[:, 5], found.basis.memories
    states, read = found.rnn.point + away, found.basis.read(away)
    changed = intervene(
        state_machine(task), memories, interactions_of(task), states, read, found.truth[:, 5]
    )
    assert changed.flip_right < 0.7
    assert changed.exchange_right < 0.7


@pytest.mark.parametrize("cell", ["tanh", "linear", "lstm", "gru"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e30])
def test_random_rnns_of_any_cell_and_size_are_not_trusted(cell: str, scale: float) -> None:
    spec = RNNSpec(cell, 3, 6, 1, 3)
    drawn = np.random.default_rng(0).normal(size=(1, spec.num_parameters))
    found = analyze(
        RNNWeights(torch.from_numpy(scale * drawn), spec), COMPOSE, along="trajectories"
    )
    assert found.verdict != "trusted"
    values = [value for value in vars(found.figures).values() if value is not None]
    assert np.isfinite(values).all()


def test_random_directions_are_not_variables() -> None:
    own, weights = interactions_of(COMPOSE), saturating(COMPOSE, 2.0)
    values = rng.choice([-1.0, 1.0], (16, 9))
    states = states_after(weights, torch.from_numpy(values.reshape(1, 16, 3, 3)))
    states = run_freely(weights, states, 3)[0][0, :, 3].numpy()
    held = own.follow(values, 3)[:, 3]
    found = analyze(weights, COMPOSE, along="trajectories")
    read = found.basis.read(states - found.rnn.point)
    right = intervene(weights, found.basis.memories, own, states, read, held)
    assert (right.flip_right, right.flip_kept, right.exchange_right) == (1, 1, 1)
    assert right.random_right < 0.5
    memories = np.linalg.norm(found.basis.memories) * orthonormal(rng, states.shape[1], own.rank)
    elsewhere = intervene(weights, memories, own, states, read, held)
    assert elsewhere.flip_right < 0.5


def test_a_linear_rnn_is_its_own_nearest_map() -> None:
    weights = circuit(interactions_of(REPEAT), rng.normal(size=(9, 9)))
    system, inputs = system_of(weights), rng.choice([-1.0, 1.0], (8, 3, 3))
    (rnn,) = fit_rnns(weights, torch.from_numpy(inputs), 20)
    np.testing.assert_allclose(rnn.system.recurrent, system.recurrent, atol=1e-8)
    np.testing.assert_allclose(rnn.system.input, system.input, atol=1e-8)
    powers = [np.linalg.matrix_power(system.recurrent, power) for power in range(6)]
    expected = np.stack(
        [
            np.concatenate([powers[late + 2 - k] @ system.input for k in range(3)], 1)
            for late in (0, 3)
        ]
    )
    np.testing.assert_allclose(rnn.transported, expected, atol=1e-8)


def test_inputs_are_transported_by_products_of_mean_jacobians() -> None:
    """Of those on the way from one run's state to the other's: by quadrature."""
    spec = RNNSpec("tanh", 2, 5, 1, 2, bias=False)
    weights = RNNWeights(torch.from_numpy(rng.normal(size=(1, spec.num_parameters))), spec)
    inputs = torch.from_numpy(rng.choice([-1.0, 1.0], (1, 2, 2)))
    opposite = inputs * torch.tensor([[1, 1], [-1, 1]])
    states = states_after(weights, torch.stack([inputs, opposite], 1)[0][None])[0]  # (2, n)
    moved = ((states[0] - states[1]) * inputs[0, 1, 0] / 2).numpy()
    first, later = transport(weights, inputs)
    np.testing.assert_allclose(first[:, 2], moved, atol=1e-12)
    nodes, shares = np.polynomial.legendre.leggauss(40)
    for _ in range(2):
        way = states[0] + torch.from_numpy((nodes + 1) / 2)[:, None] * (states[1] - states[0])
        copies = RNNWeights(weights.flat.expand(40, -1), spec)
        jacobians = linearize(copies, way).recurrent.numpy()
        moved = np.tensordot(shares / 2, jacobians, 1) @ moved
        states = advance(weights, states[None])[0]
    np.testing.assert_allclose(later[:, 2], moved, atol=1e-8)


def test_the_nearest_map_is_that_of_least_squares() -> None:
    """Steps, and as more rows the mean Jacobian, weighted: the same by scipy's solver."""
    weights = saturating(COMPOSE, 1.5)
    inputs = torch.from_numpy(rng.choice([-1.0, 1.0], (3, 3, 3)))
    (rnn,) = fit_rnns(weights, inputs, 15)
    both = torch.cat([inputs, -inputs])[None]
    states = run_freely(weights, states_after(weights, both), 15)[0][0, :, 3:].numpy()
    before, later = (part.reshape(-1, part.shape[-1]) for part in (states[:, :-1], states[:, 1:]))
    _, recurrent, _ = matrices(weights)
    some = later[:: len(later) // 64]
    slope = (1 - np.square(some)).mean(0)[:, None] * recurrent
    size = np.sqrt(SLOPES * np.square(before - before.mean(0)).sum() / before.shape[1])
    rows = np.concatenate([before - before.mean(0), size * np.eye(before.shape[1])])
    images = np.concatenate([later - later.mean(0), size * slope.T])
    expected = np.linalg.lstsq(rows, images, rcond=None)[0].T
    np.testing.assert_allclose(rnn.system.recurrent, expected, atol=1e-8)


def test_jacobians_tell_variables_from_their_products() -> None:
    """Neurons that add three variables up hold a little of their product, which moves with them."""
    weights = saturating(REPEAT, 2.0, groups=((0, 1, 2), (3, 4, 5), (6, 7, 8)))
    inputs = torch.from_numpy(rng.choice([-1.0, 1.0], (32, 3, 3)))
    (rnn,) = fit_rnns(weights, inputs, 40)
    assert len(lasting_eigenvalues(rnn.system.recurrent)) == 9
    both = torch.cat([inputs, -inputs])[None]
    states = run_freely(weights, states_after(weights, both), 40)[0][0, :, 3:].numpy()
    before, later = (part.reshape(-1, part.shape[-1]) for part in (states[:, :-1], states[:, 1:]))
    steps_alone = np.linalg.lstsq(before, later, rcond=1e-6)[0].T
    assert len(lasting_eigenvalues(steps_alone)) > 9


@pytest.mark.parametrize("task", [COMPOSE, PERMUTED, *drawn(2)])
def test_a_wave_is_a_shift_with_the_task_at_its_boundary(task: BindingTask) -> None:
    own = interactions_of(task)
    system = system_of(circuit(own, rng.normal(size=(30, own.rank))))
    basis = variable_basis(system, own, "wave")
    found = basis.interactions(system.recurrent)
    shift = np.equal.outer(own.kept + task.dims, own.kept)
    boundary = found - shift
    assert np.linalg.matrix_rank(boundary, 1e-6) == len(own.newest) <= task.dims
    np.testing.assert_allclose(
        boundary[own.newest_places], own.reduced[own.newest_places], atol=1e-8
    )
    np.testing.assert_allclose(np.delete(boundary, own.newest_places, 0), 0, atol=1e-8)


def test_the_wave_of_another_task_has_another_boundary() -> None:
    """The shift is the same: what tells tasks apart is the boundary, and its rule is broken."""
    other = relabelled(COMPOSE, np.array([1, 2, 0]))
    weights = circuit(interactions_of(other), rng.normal(size=(24, interactions_of(other).rank)))
    found = analyze(weights, COMPOSE, along="fixed_point", grounding="wave", start="variables")
    assert found.verdict != "trusted"
    same = analyze(weights, other, along="fixed_point", grounding="wave", start="variables")
    assert same.verdict == "trusted"
    assert max(same.figures.shift_error, same.figures.boundary_error) < 1e-6
    assert found.figures.boundary_error is None or found.figures.boundary_error > 0.5


def test_directions_that_mix_the_newest_vector_are_refused() -> None:
    own = interactions_of(REPEAT)
    with pytest.raises(ValueError, match=r"rows \[9\] do"):
        saturating_circuit(own, np.concatenate([np.eye(9), np.ones((1, 9))]), 2.0)
    with pytest.raises(ValueError, match=r"directions \(n, 9\)"):
        saturating_circuit(own, np.eye(8), 2.0)


def test_a_task_that_cannot_be_undone_is_judged_as_well() -> None:
    """Both numbers become their mean: which they were is lost, and the sign is all that lasts."""
    spec = RNNSpec("linear", 2, 2, 1, 2, bias=False)
    mean = np.full((2, 2), 0.5)
    flat = np.concatenate([np.eye(2).ravel(), mean.ravel(), np.eye(2).ravel()])
    settings = MemorySettings(**FAST, along="trajectories")
    (found,) = analyze_memories(RNNWeights(torch.from_numpy(flat)[None], spec), [mean], settings)
    assert found.verdict != "trusted"


def test_settings_that_exclude_each_other_are_refused() -> None:
    weights = saturating(COMPOSE, 2.0)
    for options in ({"horizon": 3}, {"start": "variables"}):
        with pytest.raises(ValueError, match="run for more than 3 steps"):
            analyze(weights, COMPOSE, along="trajectories", **options)
        assert analyze(weights, COMPOSE, **options).along == "fixed_point"
