"""Processes that meet at a zoo's beginning, at its end, or over one of its shards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.zoos.building import SHARDS, end, start
from tests.zoos.building import whole as whole  # a fixture
from wsrl.zoos import (
    BuildSettings,
    Manifest,
    assembly,
    repair_zoo,
)
from wsrl.zoos.manifest import BACKUP, MANIFEST
from wsrl.zoos.records import finished, tidy


def test_parts_that_complete_a_zoo_at_once_all_end_well(tmp_path: Path) -> None:
    """None falls over what another has removed, as it tidied up."""
    small = BuildSettings(runs=5, snapshots=[0], hidden_size=2, group_size=1)
    for attempt in range(2):
        zoo = tmp_path / str(attempt)
        builders = [start(zoo, small, part=(i + 1, 5), backend="eager") for i in range(5)]
        assert [end(builder) for builder in builders] == [0] * 5
        assert sorted(path.name for path in zoo.iterdir()) == [BACKUP, MANIFEST, "shards"]
        assert (zoo / BACKUP).read_bytes() == (zoo / MANIFEST).read_bytes()


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
