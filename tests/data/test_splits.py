from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.data.splits import keep_rows, split_officially, split_tasks, unique_tasks
from wsrl.problems import FormalLanguages
from wsrl.problems import official_order as module
from wsrl.problems.official_order import official_order


@pytest.mark.parametrize("count", [7, 20, 100, 216, 1000])
def test_sizes_are_the_published_ones(count: int) -> None:
    splits = split_tasks(np.random.default_rng(0).random(count))
    sizes = {name: len(tasks) for name, tasks in splits.items()}
    train, validation = (count * 7) // 10, (count * 3) // 20
    assert sizes == {
        "train": train,
        "validation": validation,
        "ood": count - train - validation,
    }
    assert sorted(np.concatenate(list(splits.values()))) == list(range(count))


def test_the_largest_by_criterion_are_ood_and_the_rest_is_shuffled_as_published() -> None:
    criterion = np.random.default_rng(1).random(40)
    splits = split_tasks(criterion, seed=1)
    order = np.argsort(criterion, kind="stable")
    known = order[:34]
    np.random.RandomState(1).shuffle(known)
    assert set(splits["ood"]) == set(order[34:])
    assert set(splits["train"]) == set(known[:28])
    assert set(splits["validation"]) == set(known[28:])
    other = split_tasks(criterion, seed=2)
    assert set(other["ood"]) == set(splits["ood"])
    assert set(other["train"]) != set(splits["train"])


LANGUAGES = np.array([(0, *m) for m in itertools.product(range(-3, 3), repeat=3)])


def test_the_published_criterion_of_languages_puts_the_most_even_tasks_out() -> None:
    tasks = LANGUAGES
    splits = split_tasks(FormalLanguages().ood_criterion(tasks))
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 151,
        "validation": 32,
        "ood": 33,
    }
    shares = tasks - tasks.min(1, keepdims=True) + 1.0
    shares /= shares.sum(1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(1)
    inside = np.concatenate([splits["train"], splits["validation"]])
    assert entropy[splits["ood"]].min() >= entropy[inside].max() - 1e-12
    even = np.flatnonzero((tasks == 0).all(1))
    assert even in splits["ood"]


def entropies(tasks: np.ndarray) -> np.ndarray:
    """Compute them with logarithms of whole numbers, unlike wsrl and the official code."""
    shifted = tasks - tasks.min(1, keepdims=True) + 1
    total = shifted.sum(1)
    return np.asarray(np.log(total) - (shifted * np.log(shifted)).sum(1) / total)


def test_the_official_split_shares_what_was_measured_with_the_default() -> None:
    """The official code was run on all 216 languages; its splits were compared with wsrl's."""
    official = split_officially(FormalLanguages().official_order(LANGUAGES))
    own = split_tasks(FormalLanguages().ood_criterion(LANGUAGES))
    shared = {name: len(np.intersect1d(official[name], own[name])) for name in own}
    assert shared == {"train": 131, "validation": 14, "ood": 31}
    assert {name: len(tasks) for name, tasks in official.items()} == {
        name: len(tasks) for name, tasks in own.items()
    }
    assert sorted(np.concatenate(list(official.values()))) == list(range(216))


@pytest.mark.parametrize("left_out", [0, 1, 70])
def test_the_official_order_is_by_entropy_also_of_other_languages(left_out: int) -> None:
    tasks = LANGUAGES[left_out:]
    order = FormalLanguages().official_order(tasks)
    assert sorted(order) == list(range(len(tasks)))
    assert np.diff(entropies(tasks)[order]).min() > -1e-5  # 1e-6 is added to shares
    assert np.diff(entropies(tasks)).min() < -0.1  # the tasks themselves are in no such order


@pytest.mark.parametrize("as_recorded", [True, False])
def test_a_machine_that_breaks_ties_otherwise_is_told(
    as_recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = module._sort(LANGUAGES) if as_recorded else np.arange(216)
    monkeypatch.setattr(module, "_ORDER", " ".join(map(str, order)))
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        official_order(LANGUAGES)
        assert not given  # the record, whatever the machine
        official_order(LANGUAGES[1:])
    assert len(given) == (not as_recorded)


def test_the_official_split_rounds_shuffles_and_moves_as_the_official_code() -> None:
    order = np.random.default_rng(0).permutation(90)
    splits = split_officially(order)
    assert {n: len(tasks) for n, tasks in splits.items()} == {
        "train": 62,
        "validation": 13,
        "ood": 15,
    }
    assert len(split_tasks(np.arange(90))["train"]) == 63  # by whole numbers
    assert set(splits["ood"]) == set(order[75:])
    known = np.random.RandomState(1).permutation(75)
    assert set(splits["train"]) == set(order[known[:62]])
    moved = split_officially(order, ood_to_train=True)
    assert set(moved["ood"]) == set(order[75:][np.random.RandomState(2).permutation(15)[:7]])
    assert set(moved["train"]) == set(splits["train"]) | set(splits["ood"]) - set(moved["ood"])
    assert np.array_equal(moved["validation"], splits["validation"])
    with pytest.raises(ValueError, match="6 different tasks give"):
        split_officially(np.arange(6))


def test_rows_are_left_out_of_the_splits_that_they_are_in() -> None:
    splits = {"train": np.array([0, 2, 5]), "ood": np.array([1, 3])}
    kept = np.array([True, True, False, False, True, True])
    left = keep_rows(splits, kept, "is kept")
    assert {name: rows.tolist() for name, rows in left.items()} == {"train": [0, 5], "ood": [1]}
    with pytest.raises(ValueError, match="no RNN of the split ood is kept"):
        keep_rows(splits, kept & (np.arange(6) != 1), "is kept")


def test_too_few_tasks_are_an_error_with_the_numbers() -> None:
    with pytest.raises(ValueError, match="6 different tasks give 4 train, 0 validation, 2 ood"):
        split_tasks(np.arange(6))
    with pytest.raises(ValueError, match="0 test"):
        split_tasks(np.arange(10), test_fraction=0.05)
    with pytest.raises(ValueError, match="test_fraction must be"):
        split_tasks(np.arange(10), test_fraction=0.7)


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
    of_rows = {name: np.flatnonzero(np.isin(index, part)) for name, part in splits.items()}
    assert np.array_equal(np.sort(np.concatenate(list(of_rows.values()))), np.arange(len(rows)))
    where = {name: {tuple(row) for row in rows[chosen]} for name, chosen in of_rows.items()}
    assert sum(map(len, where.values())) == len(set(drawn))
    plain = {name: set(chosen) for name, chosen in split_tasks(criterion, seed).items()}
    moved = plain["ood"] - set(splits["ood"])  # a half goes to training, where that is wanted
    assert len(moved) == ood_to_train * (len(plain["ood"]) // 2)
    assert set(splits["validation"]) == plain["validation"]
    assert set(splits["train"]) | set(splits.get("test", [])) == plain["train"] | moved
    assert len(splits.get("test", [])) == int(test_fraction * len(tasks) + 1e-9)
    again = split_tasks(criterion, seed, test_fraction, ood_to_train)
    assert all(np.array_equal(splits[name], again[name]) for name in splits)
