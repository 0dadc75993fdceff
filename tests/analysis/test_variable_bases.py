from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from tests.analysis.circuits import drawn, interactions_of, orthonormal, published, system_of
from wsrl.analysis.episodic_memory import circuit
from wsrl.analysis.spectra import NoBasisError, lasting_eigenvalues, match_spectra
from wsrl.analysis.variable_bases import (
    Dual,
    Grounding,
    LinearSystem,
    variable_basis,
    with_unit_moduli,
)
from wsrl.problems.binding_tasks import BindingTask

rng = np.random.default_rng(0)
TASKS = [*published(), *drawn(2), *drawn(1, 3, 5)]
TWICE_READ = BindingTask((0, 2), (1, -1), 2)
GROUNDINGS, DUALS = get_args(Grounding), get_args(Dual)


def memories_of(rank: int, orthogonal: bool, size: int = 80) -> np.ndarray:
    return orthonormal(rng, size, rank) if orthogonal else rng.normal(size=(size, rank))


@pytest.mark.parametrize("dual", DUALS)
@pytest.mark.parametrize(
    ("grounding", "orthogonal"),
    [(g, o) for g in GROUNDINGS for o in (True, False) if o or g != "output"],
)
@pytest.mark.parametrize("task", [*TASKS, TWICE_READ], ids=lambda task: f"{task.sources}"[:20])
def test_the_basis_of_a_circuit_is_the_one_it_was_made_of(
    task: BindingTask, grounding: Grounding, orthogonal: bool, dual: Dual
) -> None:
    own = interactions_of(task)
    memories = memories_of(own.rank, orthogonal)
    system = system_of(circuit(own, memories))
    basis = variable_basis(system, own, grounding, dual)
    np.testing.assert_allclose(basis.memories, memories, atol=1e-8)
    np.testing.assert_allclose(basis.interactions(system.recurrent), own.reduced, atol=1e-8)
    values = rng.normal(size=(7, own.rank))
    np.testing.assert_allclose(basis.read(values @ memories.T), values, atol=1e-8)
    assert np.abs(basis.residual(values @ memories.T)).max() < 1e-8
    spectra = map(lasting_eigenvalues, (system.recurrent, own.reduced))
    assert match_spectra(*spectra).error < 1e-6
    if orthogonal and grounding == "output":  # and no other basis
        memories = memories_of(own.rank, False)
        basis = variable_basis(system_of(circuit(own, memories)), own, grounding, dual)
        assert np.abs(basis.memories - memories).max() > 1e-3


def with_transients(task: BindingTask) -> tuple[LinearSystem, np.ndarray, np.ndarray]:
    """A circuit beside modes that decay, all mixed by a basis that is not orthogonal.

    The input writes into the decaying modes too, and the readout reads them.
    """
    own = interactions_of(task)
    rank, size = own.rank, own.rank + 6
    basis = rng.normal(size=(size, size))
    inverse = np.linalg.inv(basis)
    recurrent = np.zeros((size, size))
    recurrent[:rank, :rank] = own.reduced
    recurrent[rank:, rank:] = np.diag(rng.uniform(-0.7, 0.7, size - rank))
    inward = rng.normal(size=(size, task.dims))
    inward[:rank] = 0
    inward[own.newest_places, own.newest] = 1
    outward = rng.normal(size=(task.dims, size))
    outward[:, :rank] = own.readout
    system = LinearSystem(basis @ recurrent @ inverse, basis @ inward, outward @ inverse)
    return system, basis[:, :rank], inverse[:rank]


@pytest.mark.parametrize("grounding", ["input", "observability"])
@pytest.mark.parametrize("task", drawn(4, seed=1), ids=lambda task: f"{task.sources}"[:20])
def test_transients_are_kept_out_of_memories_and_of_reading(
    task: BindingTask, grounding: Grounding
) -> None:
    system, memories, dual = with_transients(task)
    own = interactions_of(task)
    basis = variable_basis(system, own, grounding, "eigenspace")
    np.testing.assert_allclose(basis.memories, memories, atol=1e-7)
    np.testing.assert_allclose(basis.dual, dual, atol=1e-7)
    paper = variable_basis(system, own, grounding, "pseudo_inverse")
    np.testing.assert_allclose(paper.memories, memories, atol=1e-7)
    assert np.abs(paper.dual - dual).max() > 0.01  # it takes transients for variables


def test_unit_moduli_undo_growth() -> None:
    task = drawn(1, seed=3)[0]
    own = interactions_of(task)
    memories = memories_of(own.rank, False)
    system = system_of(circuit(own, memories))
    growing = LinearSystem(1.2 * system.recurrent, system.input, system.readout)
    found = variable_basis(growing, own, "input")
    assert np.abs(found.interactions(growing.recurrent) - own.reduced).max() > 0.15
    unit = with_unit_moduli(growing)
    basis = variable_basis(unit, own, "input")
    np.testing.assert_allclose(basis.interactions(unit.recurrent), own.reduced, atol=1e-7)
    np.testing.assert_allclose(basis.memories, memories, atol=1e-7)


def test_where_there_is_no_basis_it_is_said_why() -> None:
    own = interactions_of(BindingTask.from_name("repeat_copy", 3, 2))

    def system(scale: float, size: int = 8, inputs: int = 2) -> LinearSystem:
        return LinearSystem(scale * np.eye(size), np.ones((size, inputs)), np.ones((2, size)))

    for error, given, options, message in (
        (NoBasisError, system(1, 5), {}, "keeps 6 variables .* 5 dimensions"),
        (NoBasisError, system(0.1), {}, "nothing lasts"),
        (NoBasisError, system(1e200), {}, "beyond all numbers"),
        (ValueError, system(1, inputs=3), {}, "3 inputs and 2 outputs, the task 2"),
        (ValueError, system(0.1), {"grounding": "new"}, "choose one of"),
        (ValueError, system(0.1), {"dual": "x"}, "choose one of"),
    ):
        with pytest.raises(error, match=message):
            variable_basis(given, own, **options)
    with pytest.raises(ValueError, match="do not fit each other"):
        LinearSystem(np.eye(3), np.ones((2, 2)), np.ones((2, 3)))
