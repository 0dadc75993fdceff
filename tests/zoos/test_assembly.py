"""One zoo by several processes, whichever of them end early, is the zoo of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.zoos.building import (
    PROBLEM,
    SETTINGS,
    SHARDS,
    contents,
    end,
    gate_of,
    kept_open,
    names,
    start,
    whole,  # noqa: F401
)
from wsrl.problems import FormalLanguages
from wsrl.zoos import Manifest, ZooError, build_zoo, group, open_zoo, verify_zoo
from wsrl.zoos.assembly import shares, whats_left
from wsrl.zoos.leases import Leases
from wsrl.zoos.records import PROGRESS, Record

ALL_BUT_ONE = [f"{index:05d}" for index in range(SHARDS - 1)]


def test_two_processes_build_the_zoo_of_one_and_no_shard_twice(
    whole: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    zoo = tmp_path / "zoo"
    builders = [start(zoo, held_before=1), start(zoo, held_before=1)]
    with kept_open(zoo, builders=2) as lease:
        until(lambda: len(names(zoo, "*.json")) == SHARDS - 1)
        assert [name.split(".")[0] for name in names(zoo, "*.lease.1")][:-1] == ALL_BUT_ONE
        assert names(zoo, "*.lease.[!1]") == []
        assert all(builder.is_alive() for builder in builders)  # they wait for the last one
        lease.check()
    assert [end(builder) for builder in builders] == [0, 0]
    assert contents(zoo) == contents(whole)
    verify_zoo(zoo)


def test_a_killed_process_leaves_its_shard_to_the_other(
    whole: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    zoo = tmp_path / "zoo"
    first = start(zoo, held_before=5, checkpoint_seconds=0)
    until(lambda: gate_of(zoo).waiting() == [first.pid])
    assert names(zoo, "*.safetensors") == ["00000.safetensors"]
    first.kill()
    assert end(first) == -signal.SIGKILL
    other = start(zoo, held_before=1)
    with kept_open(zoo):
        until(lambda: len(names(zoo, "*.json")) == SHARDS - 1)
        assert len(names(zoo, "*.lease.2")) == 1  # what it was at, and nothing else
    assert end(other) == 0
    assert contents(zoo) == contents(whole)


def test_both_are_told_to_end_and_others_go_on(
    whole: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    zoo = tmp_path / "zoo"
    builders = [start(zoo, held_before=5, checkpoint_seconds=0) for _ in range(2)]
    until(lambda: len(gate_of(zoo).waiting()) == 2)
    assert len(names(zoo, "*.safetensors")) == 2
    for builder in builders:
        builder.terminate()
    assert [end(builder) for builder in builders] == [128 + signal.SIGTERM] * 2
    assert not Manifest.read(zoo).complete
    released = Leases(zoo / PROGRESS).survey(name[:5] for name in names(zoo, "*.lease.*"))
    assert all(standing.free for standing in released.values())
    assert end(start(zoo)) == 0
    assert contents(zoo) == contents(whole)


def test_a_process_that_waits_for_others_hears_signals(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    builder = start(zoo, held_before=1)
    with kept_open(zoo):
        until(lambda: len(names(zoo, "*.json")) == SHARDS - 1)
        builder.terminate()
        assert end(builder) == 128 + signal.SIGTERM


def test_told_to_end_in_an_evaluation_nothing_is_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signals come in the middle of evaluations and at their ends; no update is made twice."""
    build_zoo(tmp_path / "whole", PROBLEM, SETTINGS, quiet=True)
    monkeypatch.setattr(group, "EVALUATED_TOGETHER", 1)
    evaluate, step = FormalLanguages.evaluate, group.Group._train_step
    evaluated, made = 0, 0

    def signalling(*arguments: Any) -> Any:
        nonlocal evaluated
        evaluated += 1
        if evaluated % 4 == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    def counting(members: group.Group) -> None:
        nonlocal made
        made += 1
        step(members)

    monkeypatch.setattr(FormalLanguages, "evaluate", signalling)
    monkeypatch.setattr(group.Group, "_train_step", counting)
    ends = []
    while not ends or ends[-1] is not None:
        ends.append(ended_by(tmp_path / "zoo"))
    assert ends[:2] == [128 + signal.SIGTERM] * 2
    assert made == SHARDS * max(SETTINGS.snapshots)
    assert_same(tmp_path / "zoo", tmp_path / "whole")


def ended_by(zoo: Path) -> Any:
    """Build here; return the status with which a signal ended it, if one did."""
    try:
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    except SystemExit as ended:
        return ended.code
    return None


def assert_same(first: Path, second: Path) -> None:
    one, other = (Manifest.read(path) for path in (first, second))
    assert [shard.sha256 for shard in one.shards] == [shard.sha256 for shard in other.shards]


def test_parts_do_not_wait_and_the_last_completes(tmp_path: Path, whole: Path) -> None:  # noqa: F811
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(2, 3))) == 0
    assert names(zoo, "*.json") == ["00001.json", "00004.json"]
    with pytest.raises(ZooError, match=r"unfinished \(2 shards are done\)"):
        open_zoo(zoo)
    assert whats_left(zoo, SHARDS, 3) == [
        "3 of 5 shards are missing",
        "2 of part 1/3",
        "1 of part 3/3",
    ]
    assert end(start(zoo, part=(3, 3))) == 0
    with kept_by_another(zoo, "00000"):
        assert end(start(zoo, part=(1, 3))) == 0  # somebody is at it already: nothing to wait for
        assert (
            f"1 of part 1/3, in the making by process {os.getpid()}"
            in whats_left(zoo, SHARDS, 3)[1]
        )
    assert end(start(zoo, part=(1, 3))) == 0
    assert contents(zoo) == contents(whole)
    assert whats_left(zoo, SHARDS, 3) == []


def kept_by_another(zoo: Path, name: str) -> Any:
    leases = Leases(zoo / PROGRESS)
    lease = leases.take(name, leases.survey([name])[name])
    assert lease is not None
    return lease


@pytest.mark.parametrize("part", [(0, 2), (3, 2), (1, 0)])
def test_a_part_that_is_none_leaves_nothing_behind(part: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected i/n with i from 1 to n"):
        build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True, part=part)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_every_shard_is_of_one_part(shards: int, parts: int) -> None:
    dealt = [index for part in range(parts) for index in shares(shards, (part + 1, parts))]
    assert sorted(dealt) == list(range(shards))


def test_a_users_own_folder_is_neither_a_zoo_nor_removed(tmp_path: Path) -> None:
    notes = tmp_path / "zoo" / PROGRESS / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("years of work")
    with pytest.raises(ZooError, match="holds no zoo"):
        build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
    notes.rename(tmp_path / "notes.txt")
    notes.parent.rmdir()
    builder = start(tmp_path / "zoo", held_before=1)
    with kept_open(tmp_path / "zoo"):
        notes.write_text("years of work")
    assert end(builder) == 0
    assert [file.name for file in notes.parent.iterdir()] == ["notes.txt"]
    verify_zoo(tmp_path / "zoo")


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    builder = start(zoo, held_before=1)
    with kept_open(zoo):
        until(lambda: names(zoo, "*.json") != [])
        left = [
            zoo / "manifest.json.0123abcd.partial",
            zoo / "shards" / "00004.safetensors.0123abcd.partial",
            zoo / PROGRESS / "00004.safetensors.0123abcd.partial",
            zoo / PROGRESS / "00004.json.0123abcd.partial",
        ]
        for file in left:
            file.write_bytes(b"half of it")
    assert end(builder) == 0
    assert not any(file.exists() for file in left)
    assert {file.name for file in zoo.iterdir()} == {
        "manifest.json",
        "manifest.backup.json",
        "shards",
    }


@pytest.mark.parametrize("damage", ["flipped", "short", "another's"])
def test_a_damaged_record_is_never_believed(damage: str, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(1, 4))) == 0
    record = zoo / PROGRESS / "00000.json"
    content = bytearray(record.read_bytes())
    if damage == "flipped":
        content[content.index(b'"rows": ') + 8] ^= 1
    elif damage == "short":
        del content[-20:]
    else:
        content = bytearray((zoo / PROGRESS / "00004.json").read_bytes())
    record.write_bytes(content)
    with pytest.raises(ZooError, match=rf"{record} is damaged .* wsrl zoo repair"):
        build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    assert Record.read(zoo, 4).shard.rows == 6  # others stay
    # A part does not look at the others' shards.
    build_zoo(zoo, PROBLEM, SETTINGS, quiet=True, part=(2, 4))
