"""Processes that meet at a zoo's beginning, at its end, or over one of its shards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.zoos.building import PROBLEM, SETTINGS, SHARDS, contents, end, start
from tests.zoos.building import whole as whole  # a fixture
from wsrl.zoos import (
    BuildSettings,
    Manifest,
    assembly,
    build_zoo,
    group,
    open_zoo,
    repair_zoo,
)
from wsrl.zoos.manifest import BACKUP, MANIFEST
from wsrl.zoos.records import Record, finished, tidy
from wsrl.zoos.shards import write_shard


def test_many_processes_that_complete_a_zoo_at_once_all_end_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None falls over what another has removed, as it tidied up."""
    monkeypatch.setattr(assembly, "POLL_SECONDS", 0.003)
    small = BuildSettings(runs=3, snapshots=[0], hidden_size=2, group_size=1)
    for attempt in range(2):
        zoo = tmp_path / str(attempt)
        builders = [start(zoo, small, backend="eager") for _ in range(5)]
        assert [end(builder) for builder in builders] == [0] * 5
        assert sorted(path.name for path in zoo.iterdir()) == [BACKUP, MANIFEST, "shards"]
        assert (zoo / BACKUP).read_bytes() == (zoo / MANIFEST).read_bytes()


@pytest.mark.parametrize("moment", ["once it has begun", "once all shards are there"])
def test_who_is_overtaken_at_the_beginning_or_the_end_spoils_nothing(
    moment: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a process that is paused at that moment, while another completes the zoo."""
    zoo, create, finished = tmp_path / "zoo", Manifest.create, assembly.finished
    overtaken, me = [], os.getpid()

    def overtake() -> None:
        if os.getpid() == me and not overtaken:
            overtaken.append(end(start(zoo)))

    def created(manifest: Manifest, *where: Any) -> bool:
        made = create(manifest, *where)
        overtake()
        return made

    def found(folder: Path, manifest: Manifest) -> set[int]:
        done = finished(folder, manifest)
        if len(done) == SHARDS:
            overtake()
        return done

    if moment == "once it has begun":
        monkeypatch.setattr(Manifest, "create", created)
    else:
        monkeypatch.setattr(assembly, "finished", found)
    build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    assert overtaken == [0]
    assert contents(zoo) == contents(whole)


def test_a_part_that_another_completes_lacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo, real = tmp_path / "zoo", assembly.finished
    assert end(start(zoo, part=(1, 2))) == 0
    assert assembly.whats_left(zoo, SHARDS, 2)[0] == "2 of 5 shards are missing"

    def overtaken(folder: Path, manifest: Manifest) -> set[int]:
        monkeypatch.setattr(assembly, "finished", real)
        assert end(start(zoo)) == 0
        return real(folder, manifest)

    monkeypatch.setattr(assembly, "finished", overtaken)
    assert assembly.whats_left(zoo, SHARDS, 2) == []


def test_a_shard_that_a_predecessor_records_at_the_last_moment_stays_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused when all but the record was written; its successor computes other bits."""
    zoo, columns = tmp_path / "zoo", group.Group.columns

    def recorded_meanwhile(members: group.Group) -> dict[str, torch.Tensor]:
        made = columns(members)
        if members.members[0] == 0:
            shard = write_shard(zoo, 0, made | {"weights": made["weights"] + 1})
            assert Record(shard).create(zoo, 0)
        return made

    monkeypatch.setattr(group.Group, "columns", recorded_meanwhile)
    build_zoo(zoo, PROBLEM, SETTINGS, quiet=True)
    open_zoo(zoo).check()


def test_a_repair_loses_no_records_to_a_process_that_tidies_up(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a builder of another part does, which saw the zoo complete when the repair began."""
    zoo, write = Path(shutil.copytree(whole, tmp_path / "zoo")), Manifest.write
    (zoo / "shards" / "00001.safetensors").write_bytes(b"damaged")

    def written(manifest: Manifest, *where: Any) -> None:
        if Manifest.read(zoo).complete:
            tidy(zoo)
        write(manifest, *where)

    monkeypatch.setattr(Manifest, "write", written)
    manifest = repair_zoo(zoo).manifest
    assert finished(zoo, manifest) == {0, 2, 3, 4}
