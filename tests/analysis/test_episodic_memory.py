from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.circuits import continuation, drawn, interactions_of, orthonormal
from wsrl.analysis.episodic_memory import (
    IDENTITY,
    SOFTMAX,
    TANH,
    EpisodicMemoryModel,
    Lagrangian,
    ModelState,
    circuit,
)
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import RNNSpec, RNNWeights, run_population

rng = np.random.default_rng(0)
SIZE, COUNT = 9, 4


def model(feature: Lagrangian, hidden: Lagrangian, **options: object) -> EpisodicMemoryModel:
    memories, interactions = rng.normal(size=(SIZE, COUNT)), rng.normal(size=(COUNT, COUNT))
    return EpisodicMemoryModel(memories, interactions, feature, hidden, **options)


def some_state() -> ModelState:
    return ModelState(rng.normal(size=SIZE), rng.normal(size=COUNT), rng.normal(size=SIZE))


@pytest.mark.parametrize("lagrangian", [IDENTITY, TANH, SOFTMAX])
def test_activations_are_gradients(lagrangian: Lagrangian) -> None:
    for scale in (1.0, 30.0):
        point = rng.normal(size=6) * scale
        numeric = [
            (lagrangian.value(point + step) - lagrangian.value(point - step)) / 2e-5
            for step in np.eye(6) * 1e-5
        ]
        np.testing.assert_allclose(lagrangian.activation(point), numeric, atol=1e-5)


@pytest.mark.parametrize("feature", [TANH, IDENTITY])
@pytest.mark.parametrize("hidden", [SOFTMAX, TANH])
@pytest.mark.parametrize("times", [(1.0, 0.5, 2.0), (1.0, 0.0, 0.0)])
def test_the_energy_never_rises_while_the_delayed_signal_is_frozen(
    feature: Lagrangian, hidden: Lagrangian, times: tuple[float, float, float]
) -> None:
    system = model(feature, hidden, times=times, strength=0.7, sequence_strength=1.3)
    state = system.step(some_state(), 4e-3, frozen=True)  # what is instant is now in its place
    energies = []
    for _ in range(500):
        energies.append(system.energy(state))
        state = system.step(state, 4e-3, frozen=True)
    assert np.diff(energies).max() < 1e-9
    assert energies[-1] < energies[0] - 1e-3


def test_it_may_rise_while_the_delayed_signal_moves() -> None:
    system = model(TANH, SOFTMAX, times=(1.0, 0.1, 1.0), sequence_strength=3.0)
    rises = []
    for _ in range(3):
        state = some_state()
        for _ in range(200):
            before, state = system.energy(state), system.step(state, 1e-2)
            rises.append(system.energy(state) - before)
    assert max(rises) > 1e-3


def test_the_limit_is_a_unit_step_without_inertia_of_hidden_and_delayed() -> None:
    system = model(TANH, IDENTITY)
    state = some_state()
    limit = system.limit(state.features)
    np.testing.assert_allclose(system.step(state).features, limit)
    shown = np.tanh(state.features)
    inner = system.memories.T @ shown
    closed = system.memories @ (inner + system.interactions.T @ inner)
    np.testing.assert_allclose(limit, closed)
    slow = model(TANH, IDENTITY, times=(1.0, 0.0, 5.0))
    assert not np.allclose(slow.step(state).features, slow.limit(state.features))


@pytest.mark.parametrize(("feature", "cell"), [(TANH, "tanh"), (IDENTITY, "linear")])
def test_the_limit_is_an_rnn_through_the_activation(feature: Lagrangian, cell: str) -> None:
    system = model(feature, IDENTITY)
    spec = RNNSpec(cell, 1, SIZE, 1, SIZE, bias=False)
    parts = (np.zeros(SIZE), system.limit_weights().ravel(), np.eye(SIZE).ravel())
    weights = RNNWeights(torch.from_numpy(np.concatenate(parts))[None], spec)
    features = rng.normal(size=SIZE) * 0.1
    start = torch.from_numpy(feature.activation(features))[None, None, None]
    outputs, _ = run_population(weights, torch.zeros(1, 1, 5, 1, dtype=torch.float64), start)
    for step in range(5):
        features = system.limit(features)
        np.testing.assert_allclose(outputs[0, 0, step], feature.activation(features), rtol=1e-9)


def test_bad_models_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit each other"):
        EpisodicMemoryModel(np.ones((4, 2)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="no less than 0"):
        EpisodicMemoryModel(np.ones((4, 2)), np.ones((2, 2)), times=(0.0, 1.0, 1.0))


def twice_read() -> BindingTask:
    """Dimension 0 goes to both outputs; nothing reads output 1 again."""
    return BindingTask((0, 2), (1, -1), 2)


@pytest.mark.parametrize(
    "task", [*drawn(4), twice_read(), BindingTask.from_name("repeat_copy", 3, 2)]
)
@pytest.mark.parametrize("orthogonal", [True, False])
def test_a_circuit_started_in_its_memories_does_the_task(
    task: BindingTask, orthogonal: bool
) -> None:
    own = interactions_of(task)
    memories = rng.normal(size=(24, own.rank))
    weights = circuit(own, np.linalg.qr(memories)[0] if orthogonal else memories)
    memories = np.linalg.qr(memories)[0] if orthogonal else memories
    start = rng.choice([-1, 1], (5, task.steps, task.dims)).astype(np.int8)
    state = start.reshape(5, -1)[:, own.kept] @ memories.T
    inputs = torch.zeros(1, 5, 40, task.dims, dtype=torch.float64)
    outputs, _ = run_population(weights, inputs, torch.from_numpy(state)[None, None])
    np.testing.assert_allclose(outputs[0], continuation(task, start, 40), atol=1e-9)


@pytest.mark.parametrize(("name", "exact"), [("repeat_copy", True), ("compose_copy", False)])
def test_fed_with_inputs_it_is_exact_for_repeat_copy_only(name: str, exact: bool) -> None:
    task = BindingTask.from_name(name, 4, 4)
    own = interactions_of(task)
    weights = circuit(own, orthonormal(rng, 32, own.rank))
    start = rng.choice([-1, 1], (8, 4, 4)).astype(np.int8)
    inputs = torch.from_numpy(np.pad(start.astype(float), ((0, 0), (0, 20), (0, 0))))[None]
    outputs = run_population(weights, inputs)[0][0, :, 4:]
    assert np.allclose(outputs, continuation(task, start, 20), atol=1e-9) == exact


def test_a_small_tanh_circuit_is_nearly_exact_and_a_large_one_is_not() -> None:
    task = BindingTask.from_name("repeat_copy", 3, 3)
    own = interactions_of(task)
    memories = orthonormal(rng, 16, own.rank)
    start = rng.choice([-1, 1], (8, 3, 3)).astype(np.int8)
    inputs = torch.from_numpy(np.pad(start.astype(float), ((0, 0), (0, 10), (0, 0))))[None]
    errors = []
    for scale in (1e-3, 1.0):
        outputs = run_population(circuit(own, scale * memories, "tanh"), inputs)[0][0, :, 3:]
        errors.append(
            float((outputs - torch.from_numpy(continuation(task, start, 10))).abs().max())
        )
    assert errors[0] < 1e-4
    assert errors[1] > 0.1


def test_bad_circuits_are_refused() -> None:
    own = interactions_of(BindingTask.from_name("repeat_copy", 2, 2))
    with pytest.raises(ValueError, match="4 variables"):
        circuit(own, np.ones((8, 3)))
    with pytest.raises(ValueError, match="independent"):
        circuit(own, np.ones((8, 4)))
    with pytest.raises(ValueError, match="linear near zero"):
        circuit(own, np.eye(8)[:, :4], "lstm")
