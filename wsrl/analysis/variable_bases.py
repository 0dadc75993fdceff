"""Bases of variable memories: found from a linear (or linearised) RNN, and read with.

``x(t+1) = A x(t) + B u(t)``, ``y(t) = C x(t+1)``, all relative to a fixed point. Of a tanh or
linear RNN without biases ``A = W_hh``, ``B = W_ih``, ``C = W_r`` (at the origin); of others
``wsrl.rnn.linearize`` gives the three.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from wsrl.analysis.spectra import THRESHOLD, Eigenspace, Matrix, NoBasisError, lasting_eigenspace
from wsrl.analysis.variable_memory import Interactions

Grounding: TypeAlias = Literal["output", "input", "observability", "wave"]
"""What a basis is derived from: see ``variable_basis``."""

Dual: TypeAlias = Literal["pseudo_inverse", "eigenspace"]
"""How variables are read: see there as well."""

CUTOFF = 1e-10  # singular values below this part of the largest count as zero in pseudo-inverses


@dataclass(frozen=True)
class LinearSystem:
    """``A (n, n)``, ``B (n, d)`` and ``C (d, n)``; other shapes are a ``ValueError``."""

    recurrent: Matrix
    input: Matrix
    readout: Matrix

    def __post_init__(self) -> None:
        size = len(self.recurrent)
        square = self.recurrent.shape == (size, size)
        if not square or len(self.input) != size or self.readout.shape[1:] != (size,):
            raise ValueError(
                "A (n, n), B (n, d) and C (d, n) do not fit each other: "
                f"{self.recurrent.shape}, {self.input.shape}, {self.readout.shape}"
            )


@dataclass(frozen=True)
class VariableBasis:
    """Where variables are in a state less the fixed point: ``Psi (n, r)``; and ``Psi^* (r, n)``."""

    memories: Matrix
    dual: Matrix

    @property
    def condition(self) -> float | None:
        """Condition number of ``Psi``; None where columns depend on each other."""
        values = np.linalg.svd(self.memories, compute_uv=False)
        fits = values.min() > values.max() * CUTOFF
        return float(values.max() / values.min()) if fits else None

    def read(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variables ``(..., r)`` of states ``(..., n)``."""
        return states @ self.dual.T

    def residual(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what of states ``(..., n)`` is outside of the variables: ``h - Psi Psi^* h``."""
        return states - self.read(states) @ self.memories.T

    def interactions(self, recurrent: Matrix) -> Matrix:
        """Return ``Psi^* A Psi (r, r)``, to be compared with the reduced ``Phi``."""
        return self.dual @ recurrent @ self.memories


def variable_basis(
    system: LinearSystem,
    interactions: Interactions,
    grounding: Grounding = "output",
    dual: Dual = "pseudo_inverse",
    threshold: float = THRESHOLD,
) -> VariableBasis:
    """Find the variables in an RNN.

    Groundings:

    - ``output`` (the public code's): the memories of the newest vector are ``C^+``; right where
      the memories are orthonormal.
    - ``input`` (the paper's algorithm): they are ``B``; right in any basis, where the input phase
      is linear.
    - ``observability`` (ours): the variables are what will be output, ``C A^n x`` against the
      task's outputs for the next ``s`` steps; right in any basis, and whatever the input phase
      does.
    - ``wave`` (after the travelling waves of Karuvally, Sejnowski, Siegelmann 2024, arXiv
      2402.10163): the variables are what was output, ``C A^-n x`` for the last ``s`` steps. Vectors
      travel from the newest place to the oldest by a shift, whatever the task is; the task is in
      the boundary alone, which makes the newest vector of all that are under way.

    All are within the eigenspace of what lasts: of a modulus above the threshold. The first two go
    on to older vectors by ``Psi_k = A^(s-k) Psi_s``, less what the task writes back into the
    newest. Columns are not normalised, so that ``Psi^* A Psi = Phi`` keeps its scale.

    Duals, which are the same for a circuit that does nothing else:

    - ``pseudo_inverse`` (the paper's ``Psi^*``): of all columns together.
    - ``eigenspace`` (ours): that inverse of ``Psi`` which is zero on what decays. A trained RNN's
      state is full of transients at the end of its input, which the pseudo-inverse takes for
      variables.

    Raises:
        NoBasisError: where there is none, as in a state of fewer dimensions than variables.
        ValueError: for inputs or outputs that do not fit the task, or a choice that there is not.
    """
    for given, known in ((grounding, get_args(Grounding)), (dual, get_args(Dual))):
        if given not in known:
            raise ValueError(f"{given!r} is not known; choose one of {', '.join(known)}")
    check_sizes(system.input.shape[1], len(system.readout), interactions)
    check_rank(len(system.recurrent), interactions)
    space, newest = lasting_eigenspace(system.recurrent, threshold), interactions.newest
    if grounding == "observability":
        memories = _observed(system, interactions, space)
    elif grounding == "wave":
        memories = _under_way(system, interactions, space)
    else:
        inward = grounding == "input"
        ground = system.input[:, newest] if inward else _pinv(system.readout[newest])
        memories = _older(system, interactions, space.project(ground))
    if not np.isfinite(memories).all():
        raise NoBasisError("the memories grow beyond all numbers")
    if dual == "eigenspace":
        return VariableBasis(memories, _pinv(space.dual @ memories) @ space.dual)
    return VariableBasis(memories, _pinv(memories))


def with_unit_moduli(system: LinearSystem, threshold: float = THRESHOLD) -> LinearSystem:
    """Return a system of what lasts alone, by the angles of its eigenvalues.

    Of trained tanh RNNs the lasting moduli are above 1 (up to 1.4), and saturation holds their
    amplitude. A basis derived from this system has variables that keep their size; those of
    circuits are the same either way. For tasks that copy with signs, whose moduli are all 1.
    """
    space = lasting_eigenspace(system.recurrent, threshold)
    return LinearSystem(space.with_unit_moduli(), system.input, system.readout)


def _pinv(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.pinv(matrix, rcond=CUTOFF), np.float64)


def check_sizes(inputs: int, outputs: int, interactions: Interactions) -> None:
    """Refuse an RNN of other inputs or outputs than the task's by a ``ValueError``."""
    dims = interactions.dims
    if (inputs, outputs) != (dims, dims):
        raise ValueError(f"the RNN has {inputs} inputs and {outputs} outputs, the task {dims} each")


def check_rank(size: int, interactions: Interactions) -> None:
    """Refuse a state of fewer dimensions than the task has variables by a ``NoBasisError``."""
    if interactions.rank > size:
        raise NoBasisError(
            f"no basis can exist: the task keeps {interactions.rank} variables (the rank of its "
            f"reduced Phi), but the RNN's state has {size} dimensions"
        )


def _older(system: LinearSystem, interactions: Interactions, ground: Matrix) -> Matrix:
    """Go from the newest vector's memories ``(n, m)`` to all, ``(n, r)``.

    Column ``(i, k)`` of ``A Psi = Psi Phi`` is memory ``(i, k - 1)``, plus what the task writes
    from ``(i, k)`` into the newest.
    """
    kept, rows = interactions.kept, interactions.newest_places
    columns = dict(zip(kept[rows].tolist(), ground.T, strict=True))
    for place in [int(place) for place in kept[::-1] if int(place) not in columns]:
        below = place + interactions.dims
        if below not in columns:
            raise NoBasisError(
                f"variable {place} matters, but the later one that it comes from, {below}, does not"
            )
        written = interactions.full[kept[rows], below]
        with np.errstate(over="ignore", invalid="ignore"):
            columns[place] = system.recurrent @ columns[below] - ground @ written
    return np.stack([columns[place] for place in kept.tolist()], 1)


def _observed(system: LinearSystem, interactions: Interactions, space: Eigenspace) -> Matrix:
    """Return the memories ``(n, r)`` by which the coming ``s`` outputs are the task's."""
    told, seen = interactions.readout, system.readout @ space.basis
    tells, sees = [], []
    for _ in range(interactions.steps):
        told, seen = told @ interactions.reduced, seen @ space.dynamics
        tells.append(told)
        sees.append(seen)
    telling = np.concatenate(tells)
    if np.linalg.matrix_rank(telling) < interactions.rank:
        raise NoBasisError(f"the next {interactions.steps} outputs do not tell the variables")
    inside = _pinv(telling) @ np.concatenate(sees)  # (r, k)
    return space.basis @ _pinv(inside)


def _under_way(system: LinearSystem, interactions: Interactions, space: Eigenspace) -> Matrix:
    """Return the memories ``(n, r)`` by which variables are the outputs of the last ``s`` steps."""
    back = np.linalg.inv(space.dynamics)  # what lasts has no eigenvalue near zero
    ago = [system.readout @ space.basis]
    for _ in range(interactions.steps - 1):
        ago.insert(0, ago[0] @ back)
    return space.basis @ _pinv(np.concatenate(ago)[interactions.kept])
