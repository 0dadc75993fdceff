"""Zoos from anybody: nothing outside of their folder is written, and nothing waits for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import SMALL_PROBLEM
from tests.zoos.test_published import write_languages
from wsrl.problems import FormalLanguages
from wsrl.zoos import (
    BuildSettings,
    ZooError,
    build_zoo,
    import_published,
    open_zoo,
    pack_zoo,
    repair_zoo,
)
from wsrl.zoos.manifest import BACKUP, MANIFEST, PROGRESS, SHARDS

PROBLEM = FormalLanguages(**SMALL_PROBLEM)
SETTINGS = BuildSettings(runs=6, snapshots=[0, 2], hidden_size=3, num_layers=1, group_size=2)


def build(folder: Path, part: tuple[int, int] | None = None) -> None:
    build_zoo(folder, PROBLEM, SETTINGS, quiet=True, part=part, checkpoint_seconds=0)


def pack(folder: Path) -> None:
    torch.manual_seed(0)
    models = [
        nn.ModuleDict({"rnn": nn.LSTM(2, 3), "head": nn.Linear(3, 2)}).state_dict()
        for _ in range(4)
    ]
    pack_zoo(models, folder, "real", "normal", length=4, shard_rows=2)


def published(folder: Path) -> None:
    source = folder.with_name("published")
    if not source.exists():
        write_languages(source)
    import_published(source, folder, rows_per_shard=7, quiet=True)


MAKERS: dict[str, Callable[[Path], None]] = {"build": build, "pack": pack, "import": published}


@pytest.fixture(params=MAKERS)
def unfinished(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """A zoo that lacks a shard, with every kind of file, and what goes on with it."""
    zoo, make = tmp_path / "zoo", MAKERS[request.param]
    make(zoo)
    (zoo / SHARDS / "00001.safetensors").unlink()
    repair_zoo(zoo)
    (zoo / PROGRESS / "00001.safetensors").write_bytes(b"a state")
    return zoo, make


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def replaced_by_link(path: Path, outside: Path) -> None:
    """Move a file or a folder out of a zoo, with other things, and put a link in its place."""
    outside.mkdir()
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)
    if path.is_dir():
        for name in ("00000.json", "00001.safetensors", "keep.txt"):
            if not (path / name).exists():
                (path / name).write_bytes(b"precious")


@pytest.mark.timeout(300)
def test_nothing_is_written_through_a_link_that_leads_out(
    unfinished: tuple[Path, Any], tmp_path: Path
) -> None:
    zoo, go_on = unfinished
    names = [str(path.relative_to(zoo)) for path in sorted(zoo.rglob("*"))]
    assert {MANIFEST, BACKUP, SHARDS, PROGRESS} <= set(names)
    assert len(names) >= 7  # and what is in the folders
    for number, name in enumerate(names):
        copy = Path(shutil.copytree(zoo, tmp_path / f"copy{number}"))
        outside = tmp_path / f"outside{number}"
        replaced_by_link(copy / name, outside)
        before, inside = everything(outside), everything(copy)
        for command in (repair_zoo, go_on):
            with pytest.raises(ZooError, match=f"{copy / name} is a link that leads out of {copy}"):
                command(copy)
        assert everything(outside) == before
        assert everything(copy) == inside


def test_links_that_stay_in_the_folder_are_none_of_our_business(
    unfinished: tuple[Path, Any], tmp_path: Path
) -> None:
    zoo, go_on = unfinished
    (zoo / PROGRESS / "00001.safetensors").unlink()
    (zoo / SHARDS).rename(zoo / "others")
    (zoo / SHARDS).symlink_to("others")
    repair_zoo(zoo)
    go_on(zoo)
    open_zoo(zoo).check()
    assert (zoo / SHARDS).is_symlink()
    whole = tmp_path / "whole"
    whole.mkdir()
    go_on(whole)
    kept = {name: content for name, (content, _) in everything(whole / SHARDS).items()}
    assert {name: content for name, (content, _) in everything(zoo / "others").items()} == kept


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_what_is_no_file_is_never_waited_for(
    kind: str, unfinished: tuple[Path, Any], tmp_path: Path
) -> None:
    zoo, go_on = unfinished
    names = [str(path.relative_to(zoo)) for path in sorted(zoo.rglob("*")) if path.is_file()]
    for number, name in enumerate(names):
        copy = Path(shutil.copytree(zoo, tmp_path / f"copy{number}"))
        (copy / name).unlink()
        if kind == "a pipe":
            os.mkfifo(copy / name)
        elif kind == "a device":
            (copy / name).symlink_to("/dev/zero")
        else:
            (copy / name).mkdir()
        for command in (repair_zoo, go_on, open_zoo):
            with contextlib.suppress(ZooError, OSError):
                command(copy)
