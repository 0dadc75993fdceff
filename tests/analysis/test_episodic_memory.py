from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.circuits import continuation, drawn, interactions_of, orthonormal
from wsrl.analysis.episodic_memory import circuit
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import run_population

rng = np.random.default_rng(0)


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


@pytest.mark.parametrize(
    ("name", "cell", "scale", "exact"),
    [
        ("repeat_copy", "linear", 1, True),
        ("compose_copy", "linear", 1, False),  # it composes while it receives its input
        ("repeat_copy", "tanh", 1e-3, True),
        ("repeat_copy", "tanh", 1, False),
    ],
)
def test_fed_with_inputs_it_is_exact_where_it_should_be(
    name: str, cell: str, scale: float, exact: bool
) -> None:
    task = BindingTask.from_name(name, 4, 4)
    own = interactions_of(task)
    weights = circuit(own, scale * orthonormal(rng, 32, own.rank), cell)
    start = rng.choice([-1, 1], (8, 4, 4)).astype(np.int8)
    inputs = torch.from_numpy(np.pad(start.astype(float), ((0, 0), (0, 10), (0, 0))))[None]
    outputs = run_population(weights, inputs)[0][0, :, 4:]
    assert np.allclose(outputs, continuation(task, start, 10), atol=1e-4) == exact


def test_bad_circuits_are_refused() -> None:
    own = interactions_of(BindingTask.from_name("repeat_copy", 2, 2))
    with pytest.raises(ValueError, match="4 variables"):
        circuit(own, np.ones((8, 3)))
    with pytest.raises(ValueError, match="independent"):
        circuit(own, np.ones((8, 4)))
    with pytest.raises(ValueError, match="linear near zero"):
        circuit(own, np.eye(8)[:, :4], "lstm")
