"""Repair keeps what is whole; in the end the zoo is what it was, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.waiting import until
from tests.zoos.building import (
    SETTINGS,
    SHARDS,
    contents,
    end,
    flip,
    gate_of,
    names,
    shard,
    start,
)
from tests.zoos.building import whole as whole  # a fixture
from wsrl.cli import main
from wsrl.zoos import Manifest, ZooError, group, repair_zoo, verify_zoo
from wsrl.zoos.manifest import BACKUP, MANIFEST


@pytest.fixture
def zoo(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "zoo"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """Return the groups that are trained from here on, and train as the whole zoo was."""
    found: list[list[int]] = []
    train = group.Group.train

    def noting(members: group.Group, *arguments: object) -> None:
        found.append(members.members)
        train(members, *arguments)

    monkeypatch.setattr(group.Group, "train", noting)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield found
    torch.set_num_threads(threads)


DAMAGES: dict[str, tuple[Callable[[Path], object], list[int], str]] = {
    "a flipped bit": (lambda zoo: flip(shard(zoo, 1)), [1], "00001.safetensors is damaged"),
    "two shards gone": (
        lambda zoo: [shard(zoo, index).unlink() for index in (2, 4)],
        [2, 4],
        "00004.safetensors is missing",
    ),
    "a backup gone": (lambda zoo: (zoo / BACKUP).unlink(), [], f"{BACKUP} could not be read"),
    "a manifest and a shard": (
        lambda zoo: (flip(zoo / MANIFEST, 500), flip(shard(zoo, 3))),
        [3],
        "00003.safetensors is damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repaired_zoo_is_what_it_was(
    damage: str,
    zoo: Path,
    whole: Path,
    trained: list[list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil, lost, message = DAMAGES[damage]
    spoil(zoo)
    kept = {
        index: shard(zoo, index).stat().st_mtime_ns for index in range(SHARDS) if index not in lost
    }
    if damage != "a backup gone":
        assert main(["zoo", "verify", str(zoo)]) == 1
        assert "wsrl zoo repair" in capsys.readouterr().err
    assert main(["zoo", "repair", str(zoo), "--quiet", "true"]) == 0
    assert message in capsys.readouterr().err
    assert trained == [[2 * index, 2 * index + 1] for index in lost]
    assert contents(zoo) == contents(whole)
    assert {index: shard(zoo, index).stat().st_mtime_ns for index in kept} == kept
    verify_zoo(zoo)


def test_a_whole_zoo_is_left_alone(
    zoo: Path, capsys: pytest.CaptureFixture[str], trained: list[list[int]]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in zoo.rglob("*")}
    assert main(["zoo", "repair", str(zoo)]) == 0
    assert "whole, and left as it is" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in zoo.rglob("*")} == before
    assert trained == []


def test_an_unfinished_zoo_is_repaired_and_finished(
    whole: Path, tmp_path: Path, trained: list[list[int]]
) -> None:
    zoo = tmp_path / "zoo"
    in_the_third = 2 * max(SETTINGS.snapshots) + 5
    builder = start(zoo, held_before=in_the_third, checkpoint_seconds=0)
    until(lambda: gate_of(zoo).waiting() == [builder.pid])
    builder.kill()
    end(builder)
    assert names(zoo, "*.safetensors") == ["00002.safetensors"]
    recorded = [int(name[:5]) for name in names(zoo, "*.json")]
    flip(shard(zoo, recorded[0]))
    flip(zoo / "progress" / f"{recorded[1]:05d}.json", 40)
    for state in (zoo / "progress").glob("*.safetensors"):
        flip(state)
    found = "\n".join(repair_zoo(zoo).found)
    assert f"{recorded[0]:05d}.safetensors is damaged: dropped" in found
    assert f"{recorded[1]:05d}.json is damaged" in found
    assert "trains from its start" in found
    assert main(["zoo", "repair", str(zoo), "--quiet", "true"]) == 0
    assert len(trained) == SHARDS - len(recorded) + 2
    assert contents(zoo) == contents(whole)


def test_a_repair_that_was_interrupted_is_repeated(
    zoo: Path, whole: Path, trained: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Manifest.write

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    flip(shard(zoo, 2))
    monkeypatch.setattr(Manifest, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        repair_zoo(zoo)
    monkeypatch.setattr(Manifest, "write", write)
    assert Manifest.read(zoo).complete
    assert main(["zoo", "repair", str(zoo), "--quiet", "true"]) == 0
    assert trained == [[4, 5]]
    assert contents(zoo) == contents(whole)


def test_without_any_manifest_nothing_can_be_repaired(zoo: Path, tmp_path: Path) -> None:
    (zoo / MANIFEST).write_text("{")
    (zoo / BACKUP).unlink()
    with pytest.raises(ZooError, match=r"nothing can be repaired at .*Restore one of them"):
        repair_zoo(zoo)
    with pytest.raises(ZooError, match="no such folder"):
        repair_zoo(tmp_path / "nothing")
    assert len(list((zoo / "shards").iterdir())) == SHARDS


def test_failures_are_kept_by_those_whose_shards_are(zoo: Path, trained: list[list[int]]) -> None:
    """Members 1 and 9 failed; of the last shard it is found out anew, that none did."""
    replace(Manifest.read(zoo), failed={"1": 3, "9": 5}).write(zoo)
    shard(zoo, 4).unlink()
    assert main(["zoo", "repair", str(zoo), "--quiet", "true"]) == 0
    assert Manifest.read(zoo).failed == {"1": 3}
    assert len(trained) == 1
