"""Splits of a zoo by task: training, validation and out-of-distribution (OOD), never by snapshot.

All functions are pure and work on numpy arrays.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsrl.data.order import Indices
from wsrl.problems import Problem
from wsrl.problems.splits import split_sizes

SPLITS = ("train", "validation", "ood", "test")
"""Every split there can be; ``test`` (in distribution) only where a share is asked for."""

OodCriterion: TypeAlias = Literal["published", "official", "inverse", "random"]
"""What makes a task out of distribution; see ``ZooDataModule``."""


def unique_tasks(tasks: NDArray[np.generic]) -> tuple[NDArray[np.generic], Indices]:
    """Return the different ones of tasks ``(R, K)`` in order, ``(n, K)``, and each row's index."""
    found, index = np.unique(tasks, axis=0, return_inverse=True)
    return found, index.reshape(-1).astype(np.int64)


def split_problem(
    problem: Problem,
    tasks: NDArray[Any],
    ood_criterion: OodCriterion = "published",
    seed: int = 1,
    test_fraction: float = 0.0,
    ood_to_train: bool = False,
) -> dict[str, Indices]:
    """Split different tasks ``(n, K)`` of a problem by what makes them out of distribution.

    Arguments as of ``ZooDataModule``; returns and raises as ``split_tasks``.
    """
    if ood_criterion == "official":
        return split_officially(problem.official_order(tasks), ood_to_train)
    criterion = problem.ood_criterion(tasks)
    if ood_criterion == "inverse":
        criterion = -criterion
    if ood_criterion == "random":  # OOD tasks are then no different
        criterion = np.random.RandomState([seed, 1]).random_sample(len(tasks))
    return split_tasks(criterion, seed, test_fraction, ood_to_train)


def split_tasks(
    criterion: NDArray[np.generic],
    seed: int = 1,
    test_fraction: float = 0.0,
    ood_to_train: bool = False,
) -> dict[str, Indices]:
    """Split ``n`` tasks as published: 70% training, 15% validation, the rest OOD (``split_sizes``).

    The tasks with the largest
    criterion are OOD (a stable sort keeps ties in their order); the others are shuffled with
    ``numpy.random.RandomState(seed)`` into training and validation.

    Args:
        criterion: ``(n,)``, one value a task.
        seed: of the shuffle, and of which OOD tasks move.
        test_fraction: share of all tasks that is taken from training as an in-distribution test.
        ood_to_train: move a half of the OOD tasks (rounded down) to training, as the published
            downstream tables do.

    Returns:
        For every split the indices of its tasks, sorted.

    Raises:
        ValueError: for a fraction outside ``[0, 0.7)`` and where a split comes out empty.
    """
    if not 0 <= test_fraction < 0.7:
        raise ValueError(f"test_fraction must be from 0 to below 0.7, not {test_fraction}")
    count = len(criterion)
    sizes = split_sizes(count, test_fraction)
    train, ends = sizes["train"], count - sizes["ood"]
    order = np.argsort(criterion, kind="stable").astype(np.int64)
    known, ood = order[:ends].copy(), order[ends:]
    np.random.RandomState(seed).shuffle(known)
    validated = ends - sizes["validation"]
    splits = {"train": known[:train], "validation": known[validated:], "ood": ood}
    if test_fraction:
        splits["test"] = known[train:validated]
    if ood_to_train:
        moved = np.random.RandomState([seed, 2]).permutation(ood)
        splits["train"] = np.concatenate([splits["train"], moved[: len(ood) // 2]])
        splits["ood"] = moved[len(ood) // 2 :]
    return _checked(splits)


def split_officially(order: Indices, ood_to_train: bool = False) -> dict[str, Indices]:
    """Split tasks exactly as the official code does.

    It multiplies in floating point (62 of 90 tasks are trained on, not 63), and of an odd number
    of OOD tasks it moves the larger half to training. Its seeds are fixed.

    Args:
        order: ``(n,)``, indices of the tasks as ``Problem.official_order`` sorts them.
        ood_to_train: move a half of the OOD tasks to training.

    Returns:
        For every split the indices of its tasks, sorted.

    Raises:
        ValueError: where a split comes out empty.

    >>> {name: len(tasks) for name, tasks in split_officially(np.arange(90)).items()}
    {'train': 62, 'validation': 13, 'ood': 15}
    """
    train, validation = int(len(order) * (1 - 0.15 - 0.15)), int(len(order) * 0.15)
    ends = train + validation
    known, ood = order[np.random.RandomState(1).permutation(ends)], order[ends:]
    splits = {"train": known[:train], "validation": known[train:], "ood": ood}
    if ood_to_train:
        moved, kept = ood[np.random.RandomState(2).permutation(len(ood))], len(ood) // 2
        splits["train"] = np.concatenate([splits["train"], moved[kept:]])
        splits["ood"] = moved[:kept]
    return _checked(splits)


def keep_rows(splits: dict[str, Indices], kept: NDArray[np.bool_], lack: str) -> dict[str, Indices]:
    """Leave rows of a zoo out of its splits.

    Args:
        splits: rows by split.
        kept: ``(R,)``, whether each of the zoo's rows stays.
        lack: what rows that stay have, and what to do where none has: the end of an error.

    Raises:
        ValueError: where a split comes out empty.
    """
    left = {name: rows[kept[rows]] for name, rows in splits.items()}
    if empty := [name for name, rows in left.items() if not len(rows)]:
        raise ValueError(f"no RNN of the split {empty[0]} {lack}")
    return left


def _checked(splits: dict[str, Indices]) -> dict[str, Indices]:
    """Sort splits; refuse those of which one is empty."""
    count = sum(map(len, splits.values()))
    if any(len(indices) == 0 for indices in splits.values()):
        given = ", ".join(f"{len(indices)} {name}" for name, indices in splits.items())
        raise ValueError(
            f"too few tasks for the split: {count} different tasks give {given}; every split needs "
            "at least one (7 tasks do). Build a zoo with more runs, or of more tasks, raise "
            "test_fraction if there is one, or (to try things out) split_by nothing"
        )
    return {name: np.sort(indices) for name, indices in splits.items()}
