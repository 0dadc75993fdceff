"""Interrogation of functions given as a table: searches, strategies, families."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wsrl.analysis.interrogation import (
    all_functions,
    interactive,
    noninteractive,
    path_functions,
    point_functions,
)

Table = NDArray[np.int64]


def fewest_interactive(table: Table) -> int:
    """The depth of the best decision tree, by trying all."""

    @cache
    def depth(rows: tuple[int, ...]) -> int:
        if len(rows) == 1:
            return 0
        best = len(table)
        for column in table.T:
            groups: dict[int, list[int]] = {}
            for row in rows:
                groups.setdefault(int(column[row]), []).append(row)
            if len(groups) > 1:
                best = min(best, 1 + max(depth(tuple(group)) for group in groups.values()))
        return best

    return depth(tuple(range(len(table))))


def separates(table: Table, queries: Sequence[int]) -> bool:
    return len({tuple(row) for row in table[:, list(queries)].tolist()}) == len(table)


def fewest_noninteractive(table: Table) -> int:
    """The size of the smallest separating set, by trying all."""
    queries = range(table.shape[1])
    return next(
        size
        for size in range(table.shape[1] + 1)
        for chosen in itertools.combinations(queries, size)
        if separates(table, chosen)
    )


def black_box(row: NDArray[Any], asked: list[int]) -> Callable[[int], int]:
    def ask(query: int) -> int:
        asked.append(query)
        return int(row[query])

    return ask


def random_table(rng: np.random.Generator, functions: int, queries: int, answers: int) -> Table:
    """Different rows; low answers are common in half of the tables, so that splits are uneven."""
    values = rng.random((functions, queries)) ** rng.choice([1, 4]) * answers
    return rng.permutation(np.unique(values.astype(int), axis=0))


def random_tables(count: int) -> list[Table]:
    rng = np.random.default_rng(0)
    counts = (rng.integers(low, high, count) for low, high in ((1, 10), (1, 9), (2, 6)))
    sizes = zip(*counts, strict=True)
    return [random_table(rng, *size) for size in sizes]


def test_searches_agree_with_brute_force_and_greedy_keeps_its_guarantee() -> None:
    gaps = greedy_gaps = 0
    for table in random_tables(400):
        count, fewest, smallest = (
            len(table),
            fewest_interactive(table),
            fewest_noninteractive(table),
        )
        asked, chosen = interactive(table), noninteractive(table)
        assert asked.lower == asked.upper == fewest, table
        assert chosen.lower == chosen.upper == smallest, table
        assert math.ceil(math.log(count, table.max() + 2)) <= fewest <= smallest <= count - 1
        gaps += fewest < smallest
        greedy, taken = interactive(table, 0), noninteractive(table, 0)
        assert greedy.lower <= fewest <= greedy.upper
        assert taken.lower <= smallest <= taken.upper
        assert separates(table, chosen.queries)
        assert separates(table, taken.queries)
        greedy_gaps += (greedy.upper > fewest) + (taken.upper > smallest)
        if count > 1:
            assert greedy.upper <= max(1, math.ceil(fewest * math.log(count - 1)))
            pairs = [math.comb(count, 2) - _alike_pairs(column) for column in table.T]
            assert taken.upper <= smallest * (1 + math.log(max(pairs)))
    assert gaps > 20  # the tables are not all trivial
    assert greedy_gaps > 5


def _alike_pairs(column: NDArray[np.int64]) -> int:
    return sum(math.comb(int(n), 2) for n in np.unique(column, return_counts=True)[1])


@pytest.mark.parametrize("budget", [1, 300, 3000])
def test_a_search_cut_short_has_honest_bounds(budget: int) -> None:
    rng = np.random.default_rng(1)
    unfinished = 0
    for _ in range(5):
        table = random_table(rng, 14, 24, 2)
        asked, chosen = interactive(table, budget), noninteractive(table, budget)
        assert asked.lower <= interactive(table).upper <= asked.upper
        assert chosen.lower <= noninteractive(table).upper <= chosen.upper
        assert all(asked.strategy.identify(row.__getitem__)[0] == n for n, row in enumerate(table))
        assert separates(table, chosen.queries)
        unfinished += not (asked.exact and chosen.exact)
    assert unfinished if budget == 1 else True


def test_a_strategy_identifies_every_function_and_asks_as_it_says() -> None:
    for table in [*random_tables(100), np.array([[3, 4]])]:
        strategy = interactive(table).strategy
        numbers = []
        for number, row in enumerate(table):
            asked: list[int] = []
            assert strategy.identify(black_box(row, asked)) == (number, len(asked))
            numbers.append(len(asked))
        assert strategy.depth == max(numbers)
        assert strategy.expected == pytest.approx(np.mean(numbers))
        leaves = [node for node in strategy.nodes if node.query is None]
        assert sorted(node.functions for node in leaves) == [(n,) for n in range(len(table))]


def test_a_strange_function_is_refused_or_taken_for_one_it_is_consistent_with() -> None:
    rng = np.random.default_rng(2)
    refused = taken = 0
    for table in random_tables(200):
        strategy = interactive(table).strategy
        row = rng.integers(0, table.max() + 2, table.shape[1])
        asked: list[int] = []
        found, refusal = None, ""
        try:
            found, _ = strategy.identify(black_box(row, asked))
        except ValueError as error:
            refusal = str(error)
        if found is None:
            assert f"to query {asked[-1]} it answers {row[asked[-1]]}" in refusal
            left = (table[:, asked[:-1]] == row[asked[:-1]]).all(1)
            assert row[asked[-1]] not in table[left, asked[-1]]
            refused += 1
        else:
            assert (table[found, asked] == row[asked]).all()
            taken += not (table == row).all(1).any()
    assert refused > 20
    assert taken > 20


FAMILIES = [
    *((point_functions(count), count - 1) for count in (2, 3, 5, 8, 40)),
    *((path_functions(depth), depth) for depth in (1, 2, 3, 5)),
    *((all_functions(*sizes), sizes[0]) for sizes in ((1, 2), (3, 2), (6, 2), (2, 3), (4, 3))),
]


@pytest.mark.parametrize(("table", "one_by_one"), FAMILIES, ids=lambda value: str(np.shape(value)))
def test_families_need_what_they_say_and_all_queries_in_advance(
    table: NDArray[Any], one_by_one: int
) -> None:
    asked, chosen, fixed = interactive(table), noninteractive(table), table.shape[1]
    assert asked.lower == asked.upper == one_by_one
    assert chosen.lower == chosen.upper == fixed
    for left_out in range(fixed):
        assert not separates(table, [query for query in range(fixed) if query != left_out])
    if len(table) <= 9:
        wide = table.astype(np.int64)
        assert (fewest_interactive(wide), fewest_noninteractive(wide)) == (one_by_one, fixed)
    for number, row in enumerate(table):
        queries: list[int] = []
        assert asked.strategy.identify(black_box(row, queries)) == (number, len(queries))
        assert len(queries) <= one_by_one


def test_a_deep_strategy_needs_no_recursion() -> None:
    strategy = interactive(point_functions(300), 0).strategy
    assert strategy.depth == 299
    assert json.dumps(strategy.to_dict())
    assert strategy.render(lines=10).count("\n") == 10


def test_a_strategy_can_be_written_and_read() -> None:
    found = interactive([[0, 5], [1, 5], [1, -7]])
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["strategy"]["depth"] == facts["upper"] == 2
    assert facts["strategy"]["nodes"][0]["functions"] == [0, 1, 2]
    text = found.strategy.render("column {}".format, "row {}".format)
    assert text.splitlines()[0] == "ask column 0"
    assert "  0: row 0" in text
    assert "    -7: row 2" in text
    fixed = noninteractive([[0, 5], [1, 5], [1, -7]]).to_dict()
    assert fixed == {"lower": 2, "upper": 2, "exact": True, "queries": (0, 1)}


@pytest.mark.parametrize("question", [interactive, noninteractive])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((0, 3), int), "at least one row"),
        (np.zeros((3, 0), int), "at least one row and one column"),
        ([1, 2, 3], r"\(functions, queries\).*not of shape \(3,\)"),
        ([[0.5], [1.0]], "whole numbers, not float64"),
        ([[0, 1], [1, 1], [0, 1], [2, 2], [1, 1]], "rows are equal, as 0, 2; 1, 4"),
    ],
)
def test_bad_tables_are_errors(question: Callable[[Any], Any], table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        question(table)


def test_bad_sizes_and_budgets_are_errors() -> None:
    wide = np.broadcast_to(np.arange(3000)[:, None], (3000, 2000))  # from few numbers
    for call, message in {
        partial(interactive, [[0], [1]], -1): "budget must be at least 0, not -1",
        partial(point_functions, 1): "functions must be at least 2, not 1",
        partial(path_functions, 0): "depth must be at least 1, not 0",
        partial(all_functions, 3, 1): "answers must be at least 2, not 1",
        partial(noninteractive, wide): "take fewer functions or queries",
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
