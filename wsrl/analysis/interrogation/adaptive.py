"""The search for the fewest queries when each may depend on the answers so far."""

from collections.abc import Sequence
from itertools import accumulate

from wsrl.analysis.interrogation.answers import Answers
from wsrl.analysis.interrogation.strategy import Strategy, build_strategy

DEEPEST = 400
"""A search for strategies deeper than this would not end, and would recurse too deeply."""


class OutOfBudget(Exception):
    """The search has used up its budget."""


class AdaptiveSearch:
    """Depth-first search over sets of candidates, with bounds kept for every set.

    The budget says how much of the ``work`` of the answers it may take.
    """

    def __init__(self, answers: Answers, budget: int) -> None:
        self.answers, self.budget = answers, budget
        self._most = max(answers.branching(query) for query in range(answers.queries))
        self._lower: dict[int, int] = {}
        self._upper: dict[int, int] = {}
        self._plan: dict[int, int] = {}
        self._splits: dict[int, list[tuple[int, list[int]]]] = {}

    def run(self, greedy: Strategy) -> tuple[int, Strategy]:
        """Return a lower bound and the best strategy found, beginning with a greedy one."""
        everyone, best = self.answers.everyone, greedy
        lower, search = self._bound(everyone), self.budget > 0
        try:
            while search and lower < best.depth <= DEEPEST:
                if self._solvable(everyone, lower):
                    found = build_strategy(self.answers, self._plan.__getitem__)
                    assert found is not None  # no limit is set
                    best = found
                else:
                    lower += 1
        except OutOfBudget:
            pass
        # Sets larger than need be make strategies, but no bound on other strategies.
        return (min(lower, 1) if self.answers.coarse else lower), best

    def _solvable(self, candidates: int, depth: int) -> bool:
        """Return whether so many queries settle a set; if so, ``_plan`` says how."""
        if self._upper.get(candidates, depth + 1) <= depth or self.answers.settled(candidates):
            return True
        # What no number of even splits can do needs no look at the queries.
        if (candidates & self.answers.core).bit_count() > self._most**depth:
            return False
        if self._bound(candidates) > depth:
            return False
        for query, parts in self._splits[candidates]:
            largest_first = sorted(parts, key=int.bit_count, reverse=True)
            if all(self._solvable(part, depth - 1) for part in largest_first):
                self._upper[candidates], self._plan[candidates] = depth, query
                return True
        self._lower[candidates] = depth + 1
        return False

    def _bound(self, candidates: int) -> int:
        """Return the best lower bound known of a set."""
        if candidates not in self._lower:
            self._lower[candidates] = self._examine(candidates)
        return self._lower[candidates]

    def _examine(self, candidates: int) -> int:
        """List what queries do to a set, the most even splits first, and return a lower bound."""
        if self.answers.settled(candidates):
            return 0
        if self.budget <= 0 and self._lower:
            raise OutOfBudget  # all but the first set, without which there is no bound at all
        before = self.answers.work
        ways = self._splits[candidates] = splits(self.answers, candidates)
        self.budget -= self.answers.work - before
        return lower_bound(ways, candidates & self.answers.core)


def splits(answers: Answers, candidates: int) -> list[tuple[int, list[int]]]:
    """Return the queries that split a set, with its parts, most even first; one of those alike."""
    different: dict[tuple[int, ...], tuple[int, list[int]]] = {}
    for query in range(answers.queries):
        parts = answers.parts(candidates, query)
        if len(parts) > 1:
            different.setdefault(tuple(parts), (query, parts))
    return sorted(different.values(), key=lambda way: (_cost(way[1]), way[0]))


def _cost(parts: Sequence[int]) -> tuple[int, int]:
    """How uneven a split is: its largest part, then how many are left on average."""
    sizes = [part.bit_count() for part in parts]
    return max(sizes), sum([size * size for size in sizes])


def lower_bound(ways: Sequence[tuple[int, Sequence[int]]], core: int) -> int:
    """Return a number of queries that no strategy for a set can do without.

    The larger of two bounds, from every way to split the set, on those of it that can all be told
    apart (``core``). A tree with at most ``b`` branches at a node and one leaf for each of ``m``
    functions is at least ``log_b m`` deep. And whatever is asked, let the answer be the one that
    leaves the most: ``q`` then rules out ``r_q``, so the ``r_q`` of all queries that are asked must
    sum to ``m - 1``.
    """
    count = core.bit_count()
    if count <= 1:
        return 1  # the set is not settled
    sizes = [[(part & core).bit_count() for part in parts] for _, parts in ways]
    most = max(2, *(sum(size > 0 for size in parts) for parts in sizes))
    information, leaves = 0, 1
    while leaves < count:
        leaves, information = leaves * most, information + 1
    ruled_out = accumulate(sorted((count - max(parts) for parts in sizes), reverse=True))
    adversary = next((n for n, out in enumerate(ruled_out, 1) if out >= count - 1), len(sizes))
    return max(information, adversary)


def greedy_query(answers: Answers, candidates: int) -> int:
    """Return the query whose least welcome answer leaves the fewest candidates."""
    costs = (_cost(answers.parts(candidates, query)) for query in range(answers.queries))
    return min(enumerate(costs), key=lambda item: item[1])[0]
