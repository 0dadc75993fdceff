from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.circuits import continuation, drawn, interactions_of, published
from wsrl.analysis.episodic_memory import circuit
from wsrl.analysis.trajectories import states_after
from wsrl.analysis.variable_memory import Interactions
from wsrl.problems.binding_tasks import BindingTask

rng = np.random.default_rng(0)


def any_tasks(count: int) -> list[BindingTask]:
    """Also such as copy a dimension twice, or never."""
    tasks = []
    for _ in range(count):
        steps, dims = rng.integers(1, 6, 2).tolist()
        sources = rng.integers(0, steps * dims, dims).tolist()
        tasks.append(BindingTask(tuple(sources), tuple(rng.choice([-1, 1], dims).tolist()), steps))
    return tasks


def test_the_published_ranks() -> None:
    assert [interactions_of(task).rank for task in published()] == [64, 36, 36, 36]


def test_variables_that_matter_are_those_on_circles() -> None:
    """Against a count on the graph of what is filled from where."""
    for task in [*any_tasks(60), *drawn(20, 5, 3)]:
        assert interactions_of(task).rank == task.lasting()


def test_variables_follow_the_task() -> None:
    for task in any_tasks(20):
        inputs = rng.choice([-1, 1], (3, task.steps, task.dims)).astype(np.int8)
        followed = interactions_of(task).follow(inputs.reshape(3, -1).astype(float), 30)
        continued = continuation(task, inputs, 30)
        np.testing.assert_array_equal(followed[:, 1:, -task.dims :], continued)


def test_a_circuit_composes_while_it_receives_its_input() -> None:
    for task in [*drawn(6), *any_tasks(6), BindingTask.from_name("repeat_copy", 3, 2)]:
        own = interactions_of(task)
        memories = rng.normal(size=(own.rank + 3, own.rank))
        inputs = rng.choice([-1.0, 1.0], (4, task.steps, task.dims))
        (held,) = states_after(circuit(own, memories), torch.from_numpy(inputs)[None])
        composed = own.composed(inputs.reshape(4, -1))
        np.testing.assert_allclose(composed @ memories.T, held, atol=1e-9)
    np.testing.assert_array_equal(composed, inputs.reshape(4, -1))  # the last copies the oldest


def test_the_variables_that_matter_move_by_themselves_and_tell_the_outputs() -> None:
    for task in any_tasks(40):
        own = interactions_of(task)
        start = rng.choice([-1.0, 1.0], (4, task.steps * task.dims))
        followed = own.follow(start, 60)
        kept = followed[..., own.kept]
        np.testing.assert_array_equal(kept[:, 1:], kept[:, :-1] @ own.reduced.T)
        late = slice(task.steps * task.dims, None)  # what does not matter has gone by then
        told = kept[:, late] @ own.readout.T
        np.testing.assert_allclose(told, followed[:, late, -task.dims :], atol=1e-12)


def test_a_real_map_is_reduced() -> None:
    """A mean of two: one eigenvalue 1, one -0.5, and neither variable can be left out."""
    own = Interactions.of_task(np.array([[0.5, 0.5]]))
    assert own.rank == 2
    assert Interactions.of_task(np.array([[0.0, 1.0]])).kept.tolist() == [1]


def test_bad_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing of this task is remembered"):
        Interactions.of_task(np.array([[0.1, 0.1]]))
    for matrix in (np.ones((2, 3)), np.ones(4), np.full((1, 2), np.nan)):
        with pytest.raises(ValueError, match=r"a finite matrix \(d, s d\)"):
            Interactions.of_task(matrix)
