"""Eigenvalues that last: counting, matching, and the space that belongs to them.

Spaces are found in real arithmetic (float64, ordered real Schur forms), where pairs of conjugate
eigenvalues cannot be torn apart and no complex part has to vanish. Where one has to, it is checked.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur
from scipy.optimize import linear_sum_assignment

Matrix: TypeAlias = NDArray[np.float64]
Eigenvalues: TypeAlias = NDArray[np.complex128]

THRESHOLD = 0.9  # modulus above which an eigenvalue counts as lasting, by default


class NoBasisError(ValueError):
    """There is no basis of variables: said with the reason."""


LARGEST_CONDITION = 1e10  # of vectors, above which they are taken to depend on each other


@dataclass(frozen=True)
class SpectralMatch:
    """How many lasting eigenvalues a matrix has and should have, and how far they are apart.

    ``error`` is the mean absolute difference of the angles of matched eigenvalues, in radians, and
    ``modulus`` that of their moduli: how fast what should last grows or fades. Both are None where
    the numbers differ.
    """

    found: int
    expected: int
    error: float | None
    modulus: float | None


def lasting_eigenvalues(matrix: Matrix, threshold: float = THRESHOLD) -> Eigenvalues:
    """Return the eigenvalues of a modulus above the threshold, the largest first.

    >>> lasting_eigenvalues(np.diag([0.5, -1.0, 1.1]), 0.9).real.tolist()
    [1.1, -1.0]
    """
    values: Eigenvalues = np.linalg.eigvals(matrix).astype(np.complex128)
    values = values[np.abs(values) > threshold]
    return values[np.argsort(-np.abs(values), kind="stable")]


def match_spectra(found: Eigenvalues, expected: Eigenvalues) -> SpectralMatch:
    """Match eigenvalues one to one by their angles on the circle, with the least sum of distances.

    Of two numbers of eigenvalues that differ, or of none at all, the match has no error.

    >>> match_spectra(np.array([1.1, -1.0]), np.array([-1.0, 1.0])).error
    0.0
    """
    sizes = len(found), len(expected)
    if sizes[0] != sizes[1] or not sizes[0]:
        return SpectralMatch(*sizes, None, None)
    turned = np.angle(found[:, None] * expected[None].conj())  # within -pi and pi: the short way
    rows, columns = linear_sum_assignment(np.abs(turned))
    moduli = np.abs(found)[rows] - np.abs(expected)[columns]
    angles = float(np.abs(turned[rows, columns]).mean())
    return SpectralMatch(*sizes, angles, float(np.abs(moduli).mean()))


@dataclass(frozen=True)
class Eigenspace:
    """The space of the lasting eigenvalues of a matrix ``A``, and how to project on it.

    ``basis`` is ``V (n, k)``, orthonormal columns; ``dual`` is ``L (k, n)`` with ``L V = I``: what
    decays has no part in it (``L A = M L``); ``dynamics`` is ``M = L A V (k, k)``.
    """

    basis: Matrix
    dual: Matrix
    dynamics: Matrix

    def project(self, columns: Matrix) -> Matrix:
        """Return the part of columns ``(n, m)`` that lasts."""
        return self.basis @ (self.dual @ columns)

    def with_unit_moduli(self) -> Matrix:
        """Return what ``A`` does here, ``(n, n)``, with every eigenvalue moved to the unit circle.

        An RNN that saturates holds its amplitude, whatever the moduli at its fixed point: in the
        long run its lasting eigenvalues act by their angles alone.

        Raises:
            NoBasisError: where eigenvectors depend on each other, or a complex part is left.
        """
        values, vectors = np.linalg.eig(self.dynamics)
        if not np.linalg.cond(vectors) < LARGEST_CONDITION:
            raise NoBasisError("moduli cannot be corrected: eigenvectors depend on each other")
        turned = (vectors * (values / np.abs(values))) @ np.linalg.inv(vectors)
        left = np.abs(turned.imag).max()
        if not left <= 1e-6 * np.abs(turned.real).max():
            raise NoBasisError(f"a complex part of {left:.2g} is left, which must vanish")
        return np.asarray(self.basis @ turned.real @ self.dual, np.float64)


def lasting_eigenspace(matrix: Matrix, threshold: float = THRESHOLD) -> Eigenspace:
    """Return the space of the eigenvalues of ``A (n, n)`` of a modulus above the threshold.

    Raises:
        NoBasisError: where no eigenvalue is above it, or the space cannot be told from the rest.
    """
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))
    count = int((moduli > threshold).sum())
    if not count:
        raise NoBasisError(f"no eigenvalue has a modulus above {threshold:g}: nothing lasts")
    # Cut in the middle of the gap: reordering may shift an eigenvalue that lies on the cut.
    cut = (moduli[-count] + (moduli[-count - 1] if count < len(moduli) else 0.0)) / 2
    basis = _invariant_space(matrix, cut, count)
    left = _invariant_space(matrix.T, cut, count)
    overlap = left.T @ basis
    if not np.linalg.cond(overlap) < LARGEST_CONDITION:
        raise NoBasisError("what lasts cannot be told from what decays: their spaces coincide")
    dual: Matrix = np.linalg.solve(overlap, left.T).astype(np.float64)
    return Eigenspace(basis, dual, dual @ matrix @ basis)


def _invariant_space(matrix: Matrix, cut: float, count: int) -> Matrix:
    """Return orthonormal columns ``(n, count)``: the first vectors of an ordered Schur form."""
    try:
        _, vectors, ordered = schur(
            matrix, output="real", sort=lambda real, imaginary: np.hypot(real, imaginary) > cut
        )
    except np.linalg.LinAlgError as error:
        raise NoBasisError(f"what lasts cannot be told from what decays: {error}") from error
    if ordered != count:
        raise NoBasisError("eigenvalues too close to the threshold to be told apart")
    return np.asarray(vectors[:, :count], np.float64)
