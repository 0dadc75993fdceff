"""Builders in processes of their own, for tests of what becomes of a zoo when they end early."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL_PROBLEM
from wsrl.zoos import BuildSettings, build_zoo
from wsrl.zoos.leases import Lease, Leases
from wsrl.zoos.problems import FormalLanguages
from wsrl.zoos.records import PROGRESS

PROBLEM = FormalLanguages(**SMALL_PROBLEM)
SETTINGS = BuildSettings(runs=10, snapshots=[0, 60, 120], hidden_size=4, group_size=2)
SHARDS = 5
FORK = multiprocessing.get_context("fork")  # a real process, and there at once


def _build(folder: Path, settings: BuildSettings, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    build_zoo(folder, PROBLEM, settings, quiet=True, **options)


def start(folder: Path, settings: BuildSettings = SETTINGS, **options: Any) -> ForkProcess:
    """Start to build the zoo of these tests."""
    process = FORK.Process(target=_build, args=(folder, settings, options))
    process.start()
    return process


def end(process: ForkProcess, seconds: float = 60.0) -> int | None:
    """Wait until a process ended; return its status."""
    process.join(seconds)
    assert not process.is_alive(), "a builder did not end"
    return process.exitcode


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)


def kept_open(folder: Path) -> Lease:
    """Take the lease of the last shard, so that builders cannot complete the zoo before it ends."""
    until((folder / PROGRESS).is_dir)
    leases, name = Leases(folder / PROGRESS), f"{SHARDS - 1:05d}"
    lease = leases.take(name, leases.survey([name])[name])
    assert lease is not None
    return lease


def names(folder: Path, pattern: str) -> list[str]:
    """Return the names of the files in ``progress`` of a pattern."""
    return sorted(file.name for file in (folder / PROGRESS).glob(pattern))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a zoo."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the zoo of these tests, built by one process that nobody disturbed."""
    path = tmp_path_factory.mktemp("whole") / "zoo"
    assert end(start(path)) == 0
    return path
