"""The search for the fewest queries that, fixed in advance, tell all functions apart.

Each query tells some pairs of functions apart; wanted are the fewest that together cover all pairs
that can be told apart: a set cover. Sets of pairs are bit masks.
"""

from itertools import accumulate
from operator import mul

import numpy as np

from wsrl.analysis.interrogation.answers import Answers, to_masks

DEEPEST = 400  # a search for sets larger than this would not end, and would recurse too deeply
MOST_BITS = 2**33  # how many pairs times queries a search may hold: one GiB
LOW = 2**4096 - 1  # the pairs that the fewest queries tell apart


def check_size(functions: int, queries: int) -> None:
    """Refuse, before any work, more pairs that queries tell apart than a search can hold."""
    pairs = functions * (functions - 1) // 2
    if pairs * queries > MOST_BITS:
        raise ValueError(
            f"{functions} functions are {pairs:,} pairs; with {queries} queries they do not fit "
            "into 1 GiB: take fewer functions or queries"
        )


class SeparatingSearch:
    """Set cover by greedy choice, and exactly by branch and bound.

    The budget says how often the pairs that a query tells apart may be counted.
    """

    def __init__(self, answers: Answers, budget: int) -> None:
        pairs = answers.functions * (answers.functions - 1) // 2
        self.answers, self.budget = answers, budget
        counts = np.zeros(pairs, np.int64)
        for query in range(answers.queries):
            counts += answers.apart(query)
        # Pairs that few queries tell apart come first: the lowest bit is the best to branch on.
        order = np.argsort(counts, kind="stable")
        order = order[counts[order] > 0]
        self._masks = [to_masks(answers.apart(q)[order][None])[0] for q in range(answers.queries)]
        self._queries = _needed(self._masks)
        self._work = 1 + len(self._queries) * (1 + len(order) // 2000) // 10
        once = several = 0
        for query in self._queries:
            several |= once & self._masks[query]
            once |= self._masks[query]
        # The queries without which some pair is not told apart.
        self._forced = [query for query in self._queries if self._masks[query] & ~several]
        self._rest = (1 << len(order)) - 1
        for query in self._forced:
            self._rest &= ~self._masks[query]
        self._failed: dict[int, int] = {}

    def greedy(self) -> list[int]:
        """Take the necessary queries, then always the one that separates most of the pairs left."""
        chosen, left = list(self._forced), self._rest
        while left:
            gains = [(self._masks[query] & left).bit_count() for query in self._queries]
            chosen.append(self._queries[int(np.argmax(gains))])
            left &= ~self._masks[chosen[-1]]
        return chosen

    def run(self) -> tuple[int, list[int]]:
        """Return a lower bound and the smallest set found, ascending."""
        best, forced = self.greedy(), len(self._forced)
        lower = max(self._bound_by_reach(), forced + self._bound_by_pairs())
        while lower < len(best) <= DEEPEST and self.budget > 0:
            found = self._cover(self._rest, lower - forced)
            if found is not None:
                best = [*self._forced, *found]
            elif self.budget > 0:
                lower += 1
        return lower, sorted(best)

    def _cover(self, left: int, size: int) -> list[int] | None:
        """Return at most ``size`` queries that cover the pairs left, or ``None``."""
        if not left:
            return []
        if size <= self._failed.get(left, 0) or self.budget <= 0:
            return None
        self.budget -= self._work
        gains = {query: (self._masks[query] & left).bit_count() for query in self._queries}
        if sum(sorted(gains.values(), reverse=True)[:size]) >= left.bit_count():
            rarest = left & -left
            ways = [query for query in self._queries if self._masks[query] & rarest]
            for query in sorted(ways, key=lambda query: -gains[query]):
                found = self._cover(left & ~self._masks[query], size - 1)
                if found is not None:
                    return [query, *found]
        if self.budget > 0:
            self._failed[left] = size
        return None

    def _bound_by_reach(self) -> int:
        """Return how many queries have enough answers for all functions told apart."""
        branching = sorted(map(self.answers.branching, self._queries), reverse=True)
        reaches = accumulate(branching, mul, initial=1)
        count = self.answers.core.bit_count()
        return next(size for size, reach in enumerate(reaches) if reach >= count)

    def _bound_by_pairs(self) -> int:
        """Return a number of remaining pairs of which no query separates two."""
        count, left = 0, self._rest
        while left:
            rarest = left & -left
            for query in self._queries:
                if self._masks[query] & rarest:
                    left &= ~self._masks[query]
            count += 1
        return count


def _needed(masks: list[int]) -> list[int]:
    """Return the queries that tell no subset of the pairs apart that another does."""
    first = {mask: query for query, mask in reversed(list(enumerate(masks))) if mask}
    ranked = sorted(first, key=lambda mask: -mask.bit_count())
    kept: list[tuple[int, int]] = []
    for mask in ranked:
        low = mask & LOW  # mostly enough to see that a mask is part of no other
        if all(low & ~other or mask & ~larger for other, larger in kept):
            kept.append((low, mask))
    return sorted(first[mask] for _, mask in kept)
