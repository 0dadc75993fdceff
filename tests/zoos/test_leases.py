"""Leases: one holder at a time, whatever dies, is paused, or cannot be read."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from tests.waiting import until
from tests.zoos.building import FORK
from wsrl.zoos.holders import Holder
from wsrl.zoos.leases import Lease, LeaseLostError, Leases

HERE = Holder.of_this_process()
ELSEWHERE = replace(HERE, host="elsewhere", boot="another")
ON_LINUX = pytest.mark.skipif(not HERE.boot, reason="processes are told apart by /proc")


def hold(folder: Path, said: Connection) -> None:
    """Hold a lease until it is lost."""
    lease = take(Leases(folder, beat_seconds=0.05))
    assert lease is not None
    with lease:
        said.send("held")
        until(lambda: lease.lost)
    said.send("lost")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def take(leases: Leases, name: str = "a") -> Lease | None:
    return leases.take(name, leases.survey([name])[name])


@contextmanager
def holder(folder: Path) -> Iterator[tuple[ForkProcess, Connection]]:
    """Run a process that holds a lease until it loses it."""
    heard, said = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hold, args=(folder, said))
    process.start()
    try:
        assert heard.recv() == "held"
        yield process, heard
    finally:
        process.kill()
        process.join()


def winners(folder: Path) -> list[str]:
    return sorted(line for file in folder.glob("won*") for line in file.read_text().split())


def test_of_many_threads_and_processes_one_holds(tmp_path: Path) -> None:
    """All want every lease; nobody releases while they do, since each is kept to the end."""
    rounds, kept = 20, []
    start = threading.Barrier(6)

    def race(won: Path) -> None:
        leases = Leases(tmp_path)
        start.wait()
        for name in range(rounds):
            if (lease := take(leases, f"n{name}")) is not None:
                kept.append(lease)
                with won.open("a") as file:
                    file.write(f"{name}\n")

    children = [
        FORK.Process(target=_race_alone, args=(tmp_path, rounds, tmp_path / f"won{n}"))
        for n in range(2)
    ]
    for child in children:
        child.start()
    threads = [threading.Thread(target=race, args=[tmp_path / f"wont{n}"]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(list(tmp_path.glob("through*"))) == len(children))
    (tmp_path / "end").touch()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert winners(tmp_path) == sorted(str(name) for name in range(rounds))


def _race_alone(folder: Path, rounds: int, won: Path) -> None:
    leases = Leases(folder)
    for name in range(rounds):
        if take(leases, f"n{name}") is not None:
            with won.open("a") as file:
                file.write(f"{name}\n")
    (folder / f"through{won.name}").touch()
    until((folder / "end").exists)  # a process that ended would free its leases


def test_a_lease_is_free_again_once_it_is_released(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    first = take(leases)
    assert first is not None
    with first:
        first.check()
        assert take(leases) is None
        standing = leases.survey(["a"])["a"]
        assert (standing.alive, standing.holder) == (True, HERE)
    second = take(leases)
    assert second is not None
    with second, pytest.raises(LeaseLostError):
        first.check()


@ON_LINUX
def test_the_lease_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    with holder(tmp_path) as (process, _):
        assert take(leases) is None
        process.kill()
        until(lambda: leases.survey(["a"])["a"].free)  # before its parent has asked for it
        process.join()
        assert leases.survey(["a"])["a"].generation == 1
        lease = take(leases)
        assert lease is not None
        with lease:
            lease.check()


@ON_LINUX
def test_another_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    earlier = replace(HERE, started="1")
    assert take(Leases(tmp_path, earlier)) is not None
    assert take(Leases(tmp_path)) is not None
    assert not HERE.has_died(HERE)
    assert not earlier.has_died(ELSEWHERE)  # whose numbers say nothing about ours


def test_a_lease_from_elsewhere_is_free_only_after_it_was_seen_unchanged(tmp_path: Path) -> None:
    dead, clock = replace(ELSEWHERE, pid=2**22 + 1), Clock()  # no such number here
    assert take(Leases(tmp_path, dead)) is not None
    leases = Leases(tmp_path, clock=clock)
    for second in range(60):
        clock.now = second
        standing = leases.survey(["a"])["a"]
        assert (standing.free, standing.alive) == (False, False)
    clock.now = 60
    standing = leases.survey(["a"])["a"]
    assert standing.free
    assert take(leases) is not None


def test_time_in_which_nobody_looked_does_not_count(tmp_path: Path) -> None:
    assert take(Leases(tmp_path, ELSEWHERE)) is not None
    clock = Clock()
    leases = Leases(tmp_path, clock=clock)
    leases.survey(["a"])
    clock.now = 10_000  # both machines may have been paused
    assert take(leases) is None


def test_a_lease_whose_holder_lives_elsewhere_is_never_free(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(tmp_path, clock=clock)
    lease = take(Leases(tmp_path, ELSEWHERE, beat_seconds=0.01))
    assert lease is not None
    with lease:
        for step in range(20):
            lease.done = step
            before = (tmp_path / "a.lease.1").read_bytes()
            until(lambda before=before: (tmp_path / "a.lease.1").read_bytes() != before)
            clock.now += 50
            standing = leases.survey(["a"])["a"]
            assert not standing.free
        assert standing.alive
        until(lambda: leases.survey(["a"])["a"].done == 19)


@ON_LINUX
def test_a_paused_holder_notices_that_it_has_lost(tmp_path: Path) -> None:
    leases = Leases(tmp_path, beat_seconds=0.05, patience_seconds=0.5)
    with holder(tmp_path) as (process, heard):
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: leases.survey(["a"])["a"].free)
        lease = take(leases)
        assert lease is not None
        with lease:
            os.kill(process.pid, signal.SIGCONT)
            assert heard.recv() == "lost"
            process.join()
            assert process.exitcode == 0
            lease.check()  # what the loser does in the end does not concern its successor
            assert take(leases) is None


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"holder": {"pid": -1}}', b"[1]"])
def test_a_lease_that_cannot_be_read_is_free_once_nothing_changes_it(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.lease.3").write_bytes(content)
    clock = Clock()
    leases = Leases(tmp_path, clock=clock)
    assert take(leases) is None
    for _ in range(7):
        clock.now += 10
        leases.survey(["a"])
    lease = take(leases)
    assert lease is not None
    assert (tmp_path / "a.lease.4").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.lease.3", "a.lease.4"]


def test_a_holder_whose_folder_is_gone_has_lost(tmp_path: Path) -> None:
    lease = take(Leases(tmp_path))
    assert lease is not None
    with lease:
        (tmp_path / "a.lease.1").unlink()
        with pytest.raises(LeaseLostError):
            lease.check()
    assert list(tmp_path.iterdir()) == []
