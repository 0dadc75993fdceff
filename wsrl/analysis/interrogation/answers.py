"""Which functions answer alike: what every search for queries works on.

Sets of functions are bit masks (bit ``i`` is function ``i``), since they are intersected and looked
up all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, reduce
from operator import and_, or_
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SETS = 256
"""How many sets of candidates the answers to a query may leave before they are made coarser."""
CHEAPER = 4  # how many sets or members of sets are looked at in the time that a part takes to make


class Answers:
    """Who answers alike to every query.

    Where answers are values, "alike" is equal, and a query splits the functions into classes. Where
    they are alike within a tolerance, that is not transitive: an answer then leaves a set of
    functions which are alike pair by pair, and these sets overlap (see ``parts``).

    ``close`` has, by query and function, the mask of the functions that answer as it does, itself
    included; ``table (functions, queries)`` the answers themselves, where they are values.

    Attributes:
        never: by function, the mask of those that no query tells apart from it (itself included).
        core: a mask of functions that are all told apart from each other by some query; all of
            them, where they can be. Bounds hold within the core.
        coarse: whether ``parts`` had to return sets larger than need be.
        work: a measure of the time spent on parts that is the same on every machine.
    """

    def __init__(self, close: Sequence[Sequence[int]], table: NDArray[Any] | None = None) -> None:
        self.close, self.table, self.coarse, self.work = close, table, False, 0
        self.queries, self.functions = len(close), len(close[0])
        self.everyone = (1 << self.functions) - 1
        self._sets: dict[int, list[int] | None] = {}
        self.never = [reduce(and_, masks) for masks in zip(*close, strict=True)]
        self.core = 0
        for function, mask in enumerate(self.never):
            self.core |= 0 if mask & self.core else 1 << function
        # Whether the sets of a query are classes: no two overlap.
        sizes = [sum(mask.bit_count() for mask in set(each)) for each in close]
        self._classes = [size == self.functions for size in sizes]
        self._limit = max(SETS, self.functions)  # numbers on a line need one a function at most

    @classmethod
    def of_table(cls, table: ArrayLike) -> Answers:
        """Read a table of functions ``(functions, queries)``; see ``interactive`` for errors."""
        values = check_table(table)
        close = []
        for column in values.T:
            classes, codes = np.unique(column, return_inverse=True)
            masks = to_masks(column == classes[:, None])
            close.append([masks[code] for code in codes.reshape(-1)])
        return cls(close, values)

    def settled(self, candidates: int) -> bool:
        """Return whether no query tells any two of the candidates apart."""
        if candidates & (candidates - 1) == 0:
            return True  # one, or none
        return all(candidates & ~self.never[function] == 0 for function in members(candidates))

    def parts(self, candidates: int, query: int) -> list[int]:
        """Return the sets of candidates that an answer to a query can leave.

        Classes, where "alike" is transitive. Otherwise the largest sets in which all are alike
        pair by pair (maximal cliques): an answer that is off by up to half the tolerance leaves
        candidates within half of it of the answer, so within the tolerance of each other. Where
        there are very many such sets, fewer and larger ones that contain them (``coarse``).
        """
        close = self.close[query]
        if self._classes[query]:
            parts, rest = [], candidates
            while rest:
                part = candidates & close[(rest & -rest).bit_length() - 1]
                parts.append(part)
                rest &= ~part
            self.work += 1 + len(parts)
            return parts
        known = self._largest_sets(query)
        if known is not None:
            sets = maximal(mask & candidates for mask in known)
            self.work += (len(known) + len(sets) ** 2 // 2) // CHEAPER
            return sets
        sets, exact = self._alike_sets(query, candidates)
        self.coarse |= not exact
        return sets

    def _largest_sets(self, query: int) -> list[int] | None:
        """Return the sets that an answer can leave of all functions, unless there are too many."""
        if query not in self._sets:
            sets, exact = self._alike_sets(query, self.everyone)
            self._sets[query] = sets if exact else None
        return self._sets[query]

    def _alike_sets(self, query: int, candidates: int) -> tuple[list[int], bool]:
        sets, exact, work = alike_sets(self.close[query], candidates, self._limit)
        self.work += work // CHEAPER
        return sets, exact

    def answer(self, part: int, query: int | None) -> int | None:
        """Return the answer that leaves a part, where answers are values."""
        if self.table is None or query is None:
            return None
        return int(self.table[(part & -part).bit_length() - 1, query])

    def branching(self, query: int) -> int:
        """Return how many functions a query can tell apart pair by pair, at most."""
        if not self._classes[query] and self._largest_sets(query) is None:
            return self.functions
        return len(self.parts(self.everyone, query))

    def apart(self, query: int) -> NDArray[np.bool_]:
        """Return which pairs ``i < j`` a query tells apart, in the order of ``triu_indices``."""
        size = (self.functions + 7) // 8
        raw = b"".join(mask.to_bytes(size, "little") for mask in self.close[query])
        packed = np.frombuffer(raw, np.uint8).reshape(self.functions, size)
        alike = np.unpackbits(packed, axis=1, bitorder="little")
        return np.asarray(alike[self._pairs] == 0)

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.triu_indices(self.functions, 1)


def check_table(table: ArrayLike) -> NDArray[Any]:
    """Return a table of functions as an integer array; see ``interactive`` for errors."""
    values = np.asarray(table)
    if values.ndim != 2:
        raise ValueError(f"a table is (functions, queries), not of shape {values.shape}")
    if 0 in values.shape:
        raise ValueError(f"a table needs at least one row and one column, not {values.shape}")
    if values.dtype.kind not in "iub":
        raise ValueError(
            f"answers must be whole numbers, not {values.dtype}: number the answers there are, "
            "or use tell_apart for outputs of RNNs with a tolerance"
        )
    _, which, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    if equal := np.flatnonzero(counts > 1).tolist():
        groups = [np.flatnonzero(which.reshape(-1) == row).tolist() for row in equal[:5]]
        named = "; ".join(", ".join(map(str, group)) for group in groups)
        raise ValueError(
            f"no query tells functions apart whose rows are equal, as {named}: keep one of each"
        )
    return values


def members(mask: int) -> Iterator[int]:
    """Yield the numbers of the functions in a mask, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def maximal(sets: Iterable[int]) -> list[int]:
    """Return the sets that are contained in no other, largest first."""
    kept: list[int] = []
    for mask in sorted(set(sets) - {0}, key=lambda m: (-m.bit_count(), m)):
        if all(mask & ~larger for larger in kept):
            kept.append(mask)
    return kept


def alike_sets(close: Sequence[int], candidates: int, limit: int) -> tuple[list[int], bool, int]:
    """Return sets that contain every clique of a graph, none with all candidates if avoidable.

    They are the maximal cliques, and true follows; or, beyond the limit, fewer and larger sets and
    false. The last number is how many sets and members of sets were looked at.
    """
    pending, found, exact, work = [candidates], [], True, 0
    while pending:
        mask = pending.pop()
        work += mask.bit_count()
        # A clique holds the function with the fewest neighbours, or none that it makes needless.
        pivot = min(members(mask), key=lambda f: (mask & close[f]).bit_count())
        near = mask & close[pivot]
        if near == mask:
            found.append(mask)
        elif len(pending) + len(found) + 2 > max(2, limit):
            found.append(mask)
            exact = False
        else:
            work += near.bit_count()
            needless = reduce(or_, (1 << f for f in members(near) if mask & close[f] & ~near == 0))
            pending += [near, mask & ~needless]
    largest = maximal(found)
    return largest, exact, work + len(found) * len(largest) // 2


def to_masks(rows: NDArray[np.bool_]) -> list[int]:
    """Return rows of booleans ``(n, bits)`` as masks; equal ones are one object."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    masks = [int.from_bytes(row.tobytes(), "little") for row in packed]
    shared = {mask: mask for mask in masks}
    return [shared[mask] for mask in masks]
