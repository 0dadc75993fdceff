from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import block_diag

from wsrl.analysis.spectra import (
    Eigenspace,
    NoBasisError,
    lasting_eigenspace,
    lasting_eigenvalues,
    match_spectra,
)

rng = np.random.default_rng(0)


def on_circle(count: int) -> np.ndarray:
    return np.exp(1j * rng.uniform(-np.pi, np.pi, count)) * rng.uniform(0.95, 1.2, count)


def arc(first: complex, second: complex) -> float:
    apart = abs(np.angle(first) - np.angle(second))
    return float(min(apart, 2 * np.pi - apart))


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_matching_is_the_best_of_all(count: int) -> None:
    found, expected = on_circle(count), on_circle(count)
    best = min(
        np.mean([arc(found[i], expected[j]) for i, j in enumerate(order)])
        for order in permutations(range(count))
    )
    match = match_spectra(found, expected)
    assert match.error == pytest.approx(best)
    assert match_spectra(found[::-1], expected).error == pytest.approx(best)


def test_angles_go_the_short_way_round_and_moduli_are_told_apart() -> None:
    match = match_spectra(np.array([1.1 * np.exp(3.1j)]), np.array([np.exp(-3.1j)]))
    assert match.error == pytest.approx(2 * (np.pi - 3.1))
    assert match.modulus == pytest.approx(0.1)


@pytest.mark.parametrize(("found", "expected"), [(3, 4), (4, 3), (0, 2), (0, 0)])
def test_a_rank_mismatch_is_a_value(found: int, expected: int) -> None:
    match = match_spectra(on_circle(found), on_circle(expected))
    assert match.error is None
    assert match.modulus is None
    assert (match.found, match.expected) == (found, expected)


def slow_and_fast(size: int = 12, lasting: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A matrix that is not normal, and the projector on what lasts, from its construction."""
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    slow = block_diag(turn, 1.1 * turn, -1.0)
    fast = np.triu(rng.normal(size=(size - lasting, size - lasting)), 1) * 0.3
    fast += np.diag(rng.uniform(-0.6, 0.6, size - lasting))
    basis = rng.normal(size=(size, size))
    inverse = np.linalg.inv(basis)
    matrix = basis @ block_diag(slow, fast) @ inverse
    return matrix, basis[:, :lasting] @ inverse[:lasting]


def test_the_eigenspace_is_that_of_the_construction() -> None:
    matrix, projector = slow_and_fast()
    space = lasting_eigenspace(matrix)
    np.testing.assert_allclose(space.basis @ space.dual, projector, atol=1e-9)
    np.testing.assert_allclose(space.dual @ space.basis, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(matrix @ space.basis, space.basis @ space.dynamics, atol=1e-9)
    np.testing.assert_allclose(space.dual @ matrix, space.dynamics @ space.dual, atol=1e-9)
    columns = rng.normal(size=(12, 3))
    np.testing.assert_allclose(space.project(columns), projector @ columns, atol=1e-9)


def test_unit_moduli_keep_angles_and_eigenvectors() -> None:
    matrix, projector = slow_and_fast()
    unit = lasting_eigenspace(matrix).with_unit_moduli()
    values = np.linalg.eigvals(unit)
    lasting = values[np.abs(values) > 0.5]
    np.testing.assert_allclose(np.abs(lasting), 1, atol=1e-9)
    assert match_spectra(lasting, lasting_eigenvalues(matrix)).error == pytest.approx(0, abs=1e-8)
    np.testing.assert_allclose(unit @ matrix, matrix @ unit, atol=1e-8)
    np.testing.assert_allclose(unit @ projector, unit, atol=1e-8)


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(NoBasisError, match="nothing lasts"):
        lasting_eigenspace(np.eye(3) * 0.5)
    defective = Eigenspace(np.eye(2), np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(NoBasisError, match="eigenvectors"):
        defective.with_unit_moduli()
