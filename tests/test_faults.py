"""Builds and training runs that are killed go on as if nothing had happened.

Two faults of each kind here; ``benchmarks/faults.py`` makes twenty.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks.faults import SIGNALS, Job, Result, references, survive

Whole = dict[Job, tuple[Result, float]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Whole:
    return references(folder)


def test_a_build_is_the_same_on_any_number_of_processes(whole: Whole) -> None:
    one, two = (whole[Job("zoo build", processes)][0] for processes in (1, 2))
    assert one.values
    assert one.lost(two) == one.different(two) == 0


def test_what_differs_is_found(whole: Whole, folder: Path) -> None:
    one, two = (whole[Job("fit", processes, folder / "zoo")][0] for processes in (1, 2))
    assert one.different(two) > 0  # rounded otherwise
    less = Result(dict(list(one.values.items())[1:]))
    assert (one.lost(less), one.different(less)) == (1, 0)
    assert (less.lost(one), less.different(one)) == (0, 1)  # one too many


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", ["zoo build", "fit"])
def test_nothing_is_lost(
    name: str, processes: int, number: signal.Signals, whole: Whole, folder: Path
) -> None:
    job = Job(name, processes, folder / "zoo" if name == "fit" else None)
    tally = survive(job, number, 2, folder, *whole[job], seed=0)
    assert tally.problems == []
    assert tally.recovered == tally.faults == 2
    assert tally.inside_writes >= 1
    assert tally.slowest_end < 30
