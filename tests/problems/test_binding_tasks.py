"""Ids, names and the long run of variable binding tasks, against brute force and what is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from wsrl.problems.binding_tasks import NAMES, BindingTask

DIAGONAL = 9241421688590303745
PERIODS = {"repeat_copy": 8, "compose_copy": 840, NAMES[2]: 48, NAMES[3]: 70}


def transition(task: BindingTask) -> NDArray[np.float64]:
    """Phi: every vector moves down by one, the newest is the map's."""
    size, dims = task.steps * task.dims, task.dims
    phi = np.zeros((size, size))
    phi[: size - dims, dims:] = np.eye(size - dims)
    phi[size - dims :] = task.matrix()
    return phi


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("repeat_copy", (255, 0, 0)),
        ("compose_copy", (DIAGONAL, 0, 0)),
        (NAMES[2], (DIAGONAL, 262676, 189)),
        (NAMES[3], (DIAGONAL, 38637, 145)),
    ],
)
def test_the_published_tasks(name: str, identity: tuple[int, int, int]) -> None:
    task = BindingTask.from_name(name, 8, 8)
    assert task == BindingTask.from_id(identity, 8, 8) == BindingTask.parse(name, 8, 8)
    assert task.id == identity
    assert task.lasting() == (64 if name == "repeat_copy" else 36)
    # What is remembered for ever comes back after the published period, and not before.
    settled = np.linalg.matrix_power(transition(task), 840)
    moved = settled.copy()
    for step in range(1, PERIODS[name] + 1):
        moved = transition(task) @ moved
        assert np.array_equal(moved, settled) == (step == PERIODS[name])


def test_an_id_is_read_as_defined() -> None:
    # Sources 0, 3, 5; in base 3, 10 is 101: swap 0 with 1, then 2 with 3 would be impossible.
    assert BindingTask.from_id((0b101001, 1, 0b100), 2, 3) == BindingTask((3, 0, 5), (1, 1, -1), 2)
    # Digits 1, 1: swap 0 with 1, then 1 with 2, in this order.
    assert BindingTask.from_id((0b101001, 4, 0), 2, 3).sources == (3, 5, 0)


def test_ids_and_tasks_are_the_same_thing() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        steps, dims = (int(size) for size in random.integers(1, 7, 2))
        task = BindingTask.draw(random, steps, dims)
        assert BindingTask.from_id(task.id, steps, dims) == task
        assert BindingTask.parse(",".join(map(str, task.id)), steps, dims) == task
        assert sorted(source % dims for source in task.sources) == list(range(dims))
        assert not task.degenerate


def test_the_long_run_is_that_of_powers_of_the_map() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        steps, dims = (int(size) for size in random.integers(1, 5, 2))
        sources = tuple(random.integers(0, steps * dims, dims).tolist())
        task = BindingTask(sources, tuple(random.choice([-1, 1], dims).tolist()), steps)
        phi = transition(task)
        # Every row has one entry, so powers of moduli count the values that still matter.
        power = np.linalg.matrix_power(np.abs(phi), steps * dims)
        assert task.lasting() == np.count_nonzero(power.any(0))
        assert task.lasting() == np.count_nonzero(np.abs(np.linalg.eigvals(phi)) > 0.8)
        origin, sign = task.unrolled(9)
        start = random.choice([-1, 1], steps * dims)
        state = start.astype(float)
        for step in range(9):
            state = phi @ state
            assert np.array_equal(state[-dims:], start[origin[step]] * sign[step])


def test_a_task_that_forgets_is_degenerate() -> None:
    assert BindingTask((2, 2), (1, -1), 2).degenerate  # both repeat the first of the newest vector
    assert not BindingTask((2, 3), (1, -1), 2).degenerate
    with pytest.raises(ValueError, match="two outputs copy one source"):
        _ = BindingTask((2, 2), (1, 1), 2).id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7,0,0", "must have 4 set bits among the lowest 16.*7 has not"),
        ("65543,0,0", "must have 4 set bits.*16"),
        ("15,192,0", "digit 3 at position 3.*there are 4 sources"),
        ("15,256,0", "4 digits in base 4"),
        ("15,0,16", "4 bits"),
        ("15,0", "triple"),
        ("15,-1,0", "no negative numbers"),
        ("15,a,0", "unknown task"),
        ("copy", "unknown task 'copy'; choose one of repeat_copy"),
        (NAMES[2], "8 steps and dimensions"),
    ],
)
def test_ids_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BindingTask.parse(text, 4, 4)


def test_sizes_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="as many steps as dimensions, not 3 and 4"):
        BindingTask.from_name("compose_copy", 3, 4)
    with pytest.raises(ValueError, match="1 to 4096 values"):
        BindingTask.from_id((1, 0, 0), 0, 1)
    with pytest.raises(ValueError, match=r"sources must be 0\.\.3"):
        BindingTask((4, 0), (1, 1), 2)
    with pytest.raises(ValueError, match="signs must be 2 times"):
        BindingTask((1, 0), (1, 0), 2)
