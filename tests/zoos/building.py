"""Builders in processes of their own, for tests of what becomes of a zoo when they end early."""

from __future__ import annotations

import itertools
import multiprocessing
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL_PROBLEM
from tests.waiting import HANG_SECONDS, Gate
from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo, group
from wsrl.zoos.manifest import PROGRESS
from wsrl.zoos.manifest import SHARDS as SHARDS_FOLDER

PROBLEM = FormalLanguages(**SMALL_PROBLEM)
SETTINGS = BuildSettings(runs=10, snapshots=[0, 20, 40], hidden_size=4, group_size=2)
SHARDS = 5
FORK = multiprocessing.get_context("fork")  # a real process, and there at once


def gate_of(folder: Path) -> Gate:
    """Return the gate of those who build a zoo."""
    return Gate(folder.with_name(f"{folder.name}-gate"))


def hold_before_step(step: int, gate: Gate) -> None:
    """Have this process wait at a gate before its ``step``-th update of any group, from 1."""
    train, count = group.Group._train_step, itertools.count(1)

    def training(members: group.Group) -> None:
        if next(count) == step:
            gate.wait()
        train(members)

    group.Group._train_step = training  # type: ignore[method-assign]


def _build(
    folder: Path, settings: BuildSettings, held_before: int | None, options: dict[str, Any]
) -> None:
    torch.set_num_threads(1)
    if held_before is not None:
        hold_before_step(held_before, gate_of(folder))
    build_zoo(folder, PROBLEM, settings, quiet=True, **options)


def start(
    folder: Path,
    settings: BuildSettings = SETTINGS,
    held_before: int | None = None,
    **options: Any,
) -> ForkProcess:
    """Start to build the zoo of these tests; ``held_before`` a step, until the gate is open."""
    process = FORK.Process(
        target=_build, args=(folder, settings, held_before, options), daemon=True
    )
    process.start()
    return process


def end(process: ForkProcess) -> int | None:
    """Wait until a process ended; return its status."""
    process.join(HANG_SECONDS)
    assert not process.is_alive(), "a builder did not end"
    return process.exitcode


def names(folder: Path, pattern: str) -> list[str]:
    """Return the names of the files in ``progress`` of a pattern."""
    return sorted(file.name for file in (folder / PROGRESS).glob(pattern))


def shard(zoo: Path, index: int = 1) -> Path:
    """Return a shard's file."""
    return zoo / SHARDS_FOLDER / f"{index:05d}.safetensors"


def flip(path: Path, at: int = -7) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


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
