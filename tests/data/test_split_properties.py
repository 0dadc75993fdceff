"""Any set of tasks: every row is in one split, and no task in two."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsrl.data.splits import split_rows, split_tasks, unique_tasks

TASKS = st.lists(
    st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 0.5, float("inf")])),
    min_size=1,
    max_size=80,
).map(lambda rows: [*rows, *((number, 1.0) for number in range(20)), *rows[::3]])
FRACTIONS = st.just(0.0) | st.floats(0.05, 0.6)


@given(TASKS, st.integers(0, 2**32 - 1), FRACTIONS, st.booleans())
def test_splits_partition_rows_and_tasks(
    drawn: list[tuple[float, float]], seed: int, test_fraction: float, ood_to_train: bool
) -> None:
    rows = np.array(drawn)
    tasks, index = unique_tasks(rows)
    assert np.array_equal(tasks[index], rows)
    criterion = tasks.sum(1)
    splits = split_tasks(criterion, seed, test_fraction, ood_to_train)
    parts = np.concatenate(list(splits.values()))
    assert np.array_equal(np.sort(parts), np.arange(len(tasks)))
    assert all(len(part) for part in splits.values())
    of_rows = split_rows(index, splits)
    assert np.array_equal(np.sort(np.concatenate(list(of_rows.values()))), np.arange(len(rows)))
    where = {name: {tuple(row) for row in rows[chosen]} for name, chosen in of_rows.items()}
    assert sum(map(len, where.values())) == len(set(drawn))
    again = split_tasks(criterion, seed, test_fraction, ood_to_train)
    assert all(np.array_equal(splits[name], again[name]) for name in splits)
