"""Tasks of variable binding: which of the last inputs every output dimension copies.

After ``s`` steps of input an RNN runs on its own: from then on ``u(t) = f(u(t-s), ..., u(t-1))``,
where ``f`` copies sources with signs (Karuvally, Delmastro, Siegelmann 2023, arXiv 2310.02430).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "repeat_copy",
    "compose_copy",
    "permuted_signed_compose_copy",
    "permuted_signed_compose_copy_2",
)
"""The published tasks, by what they do; all but the last two exist for any ``s = d``."""

_PERMUTED = {NAMES[2]: (262676, 189), NAMES[3]: (38637, 145)}
"""Swaps and minus signs of the published permutations of the diagonal of ``s = d = 8``."""

MAX_VALUES = 4096
"""Of a task, in all its vectors; the published tasks have 64."""


@dataclass(frozen=True)
class BindingTask:
    """A linear map that copies signed sources.

    Attributes:
        sources: for each of the ``d`` outputs, what it copies: ``j * d + i`` is dimension ``i`` of
            the ``j``-th oldest of the last ``s`` vectors.
        signs: 1 or -1 for each output.
        steps: ``s``, how many vectors are remembered.
    """

    sources: tuple[int, ...]
    signs: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        check_sizes(self.steps, self.dims)
        limit = self.steps * self.dims
        if any(not 0 <= source < limit for source in self.sources):
            raise ValueError(f"sources must be 0..{limit - 1} (s d - 1), not {self.sources}")
        if len(self.signs) != self.dims or not set(self.signs) <= {-1, 1}:
            raise ValueError(f"signs must be {self.dims} times 1 or -1, not {self.signs}")

    @property
    def dims(self) -> int:
        """``d``, the size of an input and of an output vector."""
        return len(self.sources)

    @classmethod
    def from_id(cls, identity: Sequence[int], steps: int, dims: int) -> BindingTask:
        """Return the task of an id triple ``(a, b, c)``; ``ValueError``: there is none.

        The set bits of ``a``, of which there are ``d``, are the sources in ascending order. Digit
        ``k`` at position ``i`` of ``b`` in base ``d``, least significant first, swaps sources ``i``
        and ``i + k``, from ``i = 0`` on. The set bits of ``c`` are the outputs with a minus.
        """
        check_sizes(steps, dims)
        if len(identity) != 3 or min(identity) < 0:
            raise ValueError(f"a task id is a triple a,b,c of no negative numbers: {identity}")
        chosen, swaps, minus = identity
        sources = [bit for bit in range(chosen.bit_length()) if chosen >> bit & 1]
        if len(sources) != dims or chosen >> (steps * dims):
            size = f"{dims} set bits among the lowest {steps * dims} (s d)"
            raise ValueError(f"the first number of a task id must have {size}; {chosen} has not")
        for position in range(dims):
            swaps, digit = divmod(swaps, dims) if dims > 1 else (swaps, 0)
            if position + digit >= dims:
                where = f"digit {digit} at position {position} (base {dims}, the lowest first)"
                raise ValueError(f"{where} of the second number: there are {dims} sources")
            other = position + digit
            sources[position], sources[other] = sources[other], sources[position]
        if swaps or minus >> dims:
            raise ValueError(f"a task id has {dims} digits in base {dims}, {dims} bits: {identity}")
        signs = [-1 if minus >> bit & 1 else 1 for bit in range(dims)]
        return cls(tuple(sources), tuple(signs), steps)

    @classmethod
    def from_name(cls, name: str, steps: int, dims: int) -> BindingTask:
        """Return one of the published tasks; ``ValueError``: there is none for these sizes.

        ``repeat_copy`` is the vector from ``s`` steps ago, ``compose_copy`` dimension ``i`` of the
        ``i``-th oldest vector; two are that with published permutations and signs (``s = d = 8``).
        """
        check_sizes(steps, dims)
        if name not in NAMES:
            raise ValueError(f"unknown task {name!r}; choose one of {', '.join(NAMES)}, or an id")
        if name == NAMES[0]:
            return cls.from_id((2**dims - 1, 0, 0), steps, dims)
        if steps != dims or (name in _PERMUTED and dims != 8):
            size = "8 steps and dimensions" if name in _PERMUTED else "as many steps as dimensions"
            raise ValueError(f"{name} needs {size}, not {steps} and {dims}")
        diagonal = sum(1 << (i * dims + i) for i in range(dims))
        return cls.from_id((diagonal, *_PERMUTED.get(name, (0, 0))), steps, dims)

    @classmethod
    def parse(cls, text: str, steps: int, dims: int) -> BindingTask:
        """Return the task of a name, or of an id written ``a,b,c``; ``ValueError``: neither."""
        words = [word.strip() for word in text.strip("()[] ").split(",")]
        if all(re.fullmatch(r"-?\d+", word) for word in words):
            return cls.from_id([int(word) for word in words], steps, dims)
        return cls.from_name(text, steps, dims)

    @classmethod
    def draw(cls, random: np.random.Generator, steps: int, dims: int) -> BindingTask:
        """Draw permutation, delays and signs: every dimension is the source of one output."""
        age = random.integers(0, steps, dims)
        sources = age * dims + random.permutation(dims)
        signs = 1 - 2 * random.integers(0, 2, dims)
        return cls(tuple(sources.tolist()), tuple(signs.tolist()), steps)

    @property
    def id(self) -> tuple[int, int, int]:
        """The id triple; ``ValueError`` where two outputs copy one source."""
        if len(set(self.sources)) < self.dims:
            raise ValueError(f"two outputs copy one source, which no task id can say: {self}")
        order, swaps = sorted(self.sources), 0
        for position, source in enumerate(self.sources):
            other = order.index(source)
            order[position], order[other] = order[other], order[position]
            swaps += (other - position) * self.dims**position
        minus = sum(1 << bit for bit, sign in enumerate(self.signs) if sign < 0)
        return sum(1 << source for source in self.sources), swaps, minus

    def matrix(self) -> NDArray[np.float64]:
        """Return ``f`` as a matrix ``(d, s d)`` on the last ``s`` vectors, the oldest first."""
        matrix = np.zeros((self.dims, self.steps * self.dims))
        matrix[np.arange(self.dims), list(self.sources)] = self.signs
        return matrix

    def lasting(self) -> int:
        """Return how many of the ``s d`` values go on mattering for ever.

        A value moves one vector down each step and starts anew where an output copies it. What is
        remembered for ever lies on circles of these moves: the dimensions of the reduced ``Phi``.
        """
        # Backwards, every place has one place that it is filled from.
        newest = (self.steps - 1) * self.dims
        filled = [
            i + self.dims if i < newest else self.sources[i - newest]
            for i in range(self.steps * self.dims)
        ]
        needed = set(filled)
        while (fewer := {filled[place] for place in needed}) != needed:
            needed = fewer
        return len(needed)

    @property
    def degenerate(self) -> bool:
        """Whether less than one vector's worth of values is remembered for ever."""
        return self.lasting() < self.dims

    def unrolled(self, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Return which input comes out at each of ``horizon`` steps after them, with which sign.

        Indices into the ``s d`` inputs, the oldest vector first, and signs: ``(horizon, d)`` each.
        """
        size, dims = self.steps * self.dims, self.dims
        origin = np.empty(size + horizon * dims, np.int64)
        sign = np.ones(size + horizon * dims, np.int8)
        origin[:size] = np.arange(size)
        sources, signs = np.asarray(self.sources), np.asarray(self.signs, np.int8)
        for start in range(0, horizon * dims, dims):
            now = slice(start + size, start + size + dims)
            origin[now] = origin[start + sources]
            sign[now] = sign[start + sources] * signs
        return origin[size:].reshape(-1, dims), sign[size:].reshape(-1, dims)


def check_sizes(steps: int, dims: int) -> None:
    """Check ``s`` and ``d``."""
    if steps < 1 or dims < 1 or steps * dims > MAX_VALUES:
        raise ValueError(f"a task has 1 to {MAX_VALUES} values (s d), not {steps} x {dims}")
