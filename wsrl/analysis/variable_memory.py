"""Variable memories: the basis in which a hidden state is a set of variables.

After Karuvally, Delmastro, Siegelmann (2023, arXiv 2310.02430). A task is a matrix ``f (d, s d)``:
the next vector as a linear map of the last ``s`` vectors, the oldest first. ``Phi`` says how the
``s d`` variables move each step, and a basis ``Psi`` where they are in the hidden state, so that
``Psi^* W_hh Psi = Phi``. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_sylvester

from wsrl.analysis.spectra import Matrix, lasting_eigenvalues

REDUCTION_THRESHOLD = 0.8
"""Modulus above which an eigenvalue of ``Phi`` counts when variables are left out."""


@dataclass(frozen=True)
class Interactions:
    """How the variables of a task interact, with those that matter.

    ``full`` is ``Phi (s d, s d)``: block ``i`` of ``d`` variables moves to block ``i - 1``, the
    last receives ``f``. ``kept (r,)``, ascending, are the variables that matter for ever:
    ``j * d + i`` is dimension ``i`` of the ``j``-th oldest vector. ``steps`` is ``s``, ``dims`` is
    ``d``.
    """

    full: Matrix
    kept: NDArray[np.int64]
    steps: int
    dims: int

    @classmethod
    def of_task(cls, matrix: Matrix, threshold: float = REDUCTION_THRESHOLD) -> Interactions:
        """Return the interactions of a task ``f (d, s d)``.

        A variable is left out if, without its row and column, as many eigenvalues of ``Phi`` have a
        modulus above the threshold as before; the oldest are tried first. A task of which nothing
        is remembered for ever is a ``ValueError``.
        """
        full = phi(matrix)
        kept = _needed(full, threshold)
        if not len(kept):
            raise ValueError(
                "nothing of this task is remembered for ever: no eigenvalue of its Phi has a "
                f"modulus above {threshold:g}"
            )
        dims = len(matrix)
        return cls(full, kept, len(full) // dims, dims)

    @cached_property
    def reduced(self) -> Matrix:
        """``Phi`` of the variables that matter, ``(r, r)``."""
        return self.full[np.ix_(self.kept, self.kept)]

    @property
    def rank(self) -> int:
        """``r``, how many variables matter."""
        return len(self.kept)

    @property
    def newest_places(self) -> NDArray[np.int64]:
        """Which of the variables that matter are of the last block."""
        return np.flatnonzero(self.kept >= (self.steps - 1) * self.dims)

    @property
    def newest(self) -> NDArray[np.int64]:
        """Their dimensions: what is output and read again."""
        return self.kept[self.newest_places] - (self.steps - 1) * self.dims

    @cached_property
    def readout(self) -> Matrix:
        """``(d, r)``: the newest vector as a function of the variables that matter.

        Rows of the identity but for outputs that nothing reads again: in the long run these follow
        from the variables too.
        """
        # Variables that do not matter follow those that do: N y + X v = y(v after a step) = y R v.
        places = np.setdiff1d(np.arange(len(self.full)), self.kept)
        among, written = self.full[np.ix_(places, places)], self.full[np.ix_(places, self.kept)]
        values = np.zeros((len(self.full), self.rank))
        values[self.kept] = np.eye(self.rank)
        if len(places):
            values[places] = solve_sylvester(among, -self.reduced, -written)
        return values[-self.dims :]

    def composed(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a linear circuit holds after ``u(1..s)``, ``(..., s d)``: ``(..., r)``.

        It composes all the while: ``sum_k Phi^(s-k) E u(k)``, where ``E`` writes into the newest
        vector. That is ``u(1..s)`` itself only where the task copies nothing but the oldest vector.
        """
        held = np.zeros((*inputs.shape[:-1], self.rank))
        for vector in np.split(inputs, self.steps, -1):
            held = held @ self.reduced.T
            held[..., self.newest_places] += vector[..., self.newest]
        return held

    def follow(self, start: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
        """Let the variables ``u(1..s)``, ``(..., s d)``, move: ``(..., 1 + horizon, s d)``."""
        steps = [start]
        for _ in range(horizon):
            steps.append(steps[-1] @ self.full.T)
        return np.stack(steps, -2)


def phi(matrix: Matrix) -> Matrix:
    """Return ``Phi (s d, s d)`` of a task ``f (d, s d)``; another matrix is a ``ValueError``."""
    fits = matrix.ndim == 2 and matrix.size and matrix.shape[1] % matrix.shape[0] == 0
    if not fits or not np.isfinite(matrix).all():
        raise ValueError(
            "a task is a finite matrix (d, s d), the next vector from the last s: "
            f"not {matrix.shape} with {np.isfinite(matrix).sum()} finite values"
        )
    dims, size = matrix.shape
    full = np.zeros((size, size))
    full[: size - dims, dims:] = np.eye(size - dims)
    full[size - dims :] = matrix
    return full


def _needed(full: Matrix, threshold: float) -> NDArray[np.int64]:
    def lasting(places: list[int]) -> int:
        return len(lasting_eigenvalues(full[np.ix_(places, places)], threshold))

    kept = list(range(len(full)))
    count = lasting(kept)
    for place in range(len(full)):
        others = [other for other in kept if other != place]
        if lasting(others) == count:
            kept = others
    return np.array(kept, np.int64)
