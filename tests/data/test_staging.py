"""Zoos copied to a node's own disk, and read by many at once."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.conftest import flat
from tests.zoos.building import FORK, flip
from tests.zoos.test_published import write_images, write_languages
from wsrl.data import ZooDataModule, staging
from wsrl.zoos import ZooError, open_zoo

SHARDS = ["shards/00000.safetensors", "shards/00001.safetensors", "shards/00002.safetensors"]


@pytest.fixture
def source(zoo_path: str, tmp_path: Path) -> Path:
    """A copy of the zoo that a test may change."""
    return Path(shutil.copytree(zoo_path, tmp_path / "shared" / "zoo"))


def staged(source: Path, folder: Path) -> ZooDataModule:
    """Do what a trainer does with a datamodule."""
    data = ZooDataModule(str(source), batch_size=8, eval_batch_size=8, stage_to=str(folder))
    data.prepare_data()
    data.setup("fit")
    return data


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_copy_is_read_in_the_place_of_the_zoo(source: Path, tmp_path: Path) -> None:
    plain = ZooDataModule(str(source), batch_size=8, eval_batch_size=8)
    expected = plain.train_dataloader().batch(3)
    data = staged(source, tmp_path / "disk" / "zoos")
    source.rename(tmp_path / "gone")
    assert dict(data.hparams) == dict(plain.hparams)  # a copy is no part of what a run is
    batch = data.train_dataloader().batch(3)
    assert torch.equal(batch.weights.flat, expected.weights.flat)
    assert torch.equal(batch.outputs, expected.outputs)
    copy = data.zoo.path
    assert copy.parent == tmp_path / "disk" / "zoos"
    assert files(copy.parent) == [f"{copy.name}/{name}" for name in ("manifest.json", *SHARDS)]


def test_zoos_are_copied_one_by_one(collection_path: Path, tmp_path: Path) -> None:
    plain = ZooDataModule(str(collection_path), batch_size=8, eval_batch_size=8)
    data = staged(collection_path, tmp_path / "disk")
    copies = [zoo.path for zoo in data.zoo.zoos]
    assert [path.parent for path in copies] == [tmp_path / "disk"] * 3
    one, other = plain.train_dataloader().batch(3), data.train_dataloader().batch(3)
    assert torch.equal(flat(one.weights), flat(other.weights))
    assert torch.equal(one.outputs, other.outputs)
    shutil.rmtree(copies[1])
    with pytest.raises(ZooError, match=r"no copy of the zoo at .*lstm-4"):
        staging.open_staged(plain.zoo, str(tmp_path / "disk"))


def test_a_whole_copy_is_used_again_without_writing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = staged(source, tmp_path / "disk").zoo.path
    before = {name: (copy / name).stat().st_ino for name in files(copy)}
    monkeypatch.setattr(staging, "write_folder", lambda *_: pytest.fail("it is taken for writing"))
    assert staged(source, tmp_path / "disk").zoo.path == copy
    assert {name: (copy / name).stat().st_ino for name in files(copy)} == before


def test_a_copy_that_was_damaged_is_made_again(source: Path, tmp_path: Path) -> None:
    copy = staged(source, tmp_path / "disk").zoo.path
    flip(copy / SHARDS[1])
    with pytest.raises(ZooError):
        open_zoo(copy).check()
    again = staged(source, tmp_path / "disk").zoo
    again.check()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [copy.name] == [again.path.name]


def test_another_zoo_at_the_same_path_has_a_copy_of_its_own(source: Path, tmp_path: Path) -> None:
    first = staged(source, tmp_path / "disk").zoo
    manifest = json.loads((source / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["versions"]["wsrl"] = "0.0.0"
    (source / "manifest.json").write_text(json.dumps(manifest))
    second = staged(source, tmp_path / "disk").zoo
    assert second.path != first.path
    assert second.manifest.versions["wsrl"] == "0.0.0"
    # In the place of the copy, where its own checksums would agree, it is not taken for it.
    shutil.rmtree(second.path)
    first.path.rename(second.path)
    assert staged(source, tmp_path / "disk").zoo.manifest.versions["wsrl"] == "0.0.0"


def test_damage_is_found_while_copying(source: Path, tmp_path: Path) -> None:
    flip(source / SHARDS[2])
    with pytest.raises(ZooError, match=f"{source}.*: 00002"):
        staged(source, tmp_path / "disk")
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("write", [write_languages, write_images])
def test_published_files_are_copied_too(write: object, tmp_path: Path) -> None:
    source = write(tmp_path / "published")
    (source / "notes.txt").write_text("not a part of the zoo")
    data = staged(source, tmp_path / "disk")
    assert files(data.zoo.path) == [name for name in files(source) if name != "notes.txt"]
    assert torch.equal(data.zoo.read("weights"), open_zoo(source).read("weights"))
    assert staged(source, tmp_path / "disk").zoo.path == data.zoo.path
    weights = source / "parameters.npy"
    later = weights.stat().st_mtime_ns + 10**9
    os.utime(weights, ns=(later, later))
    assert staged(source, tmp_path / "disk").zoo.path != data.zoo.path


def test_variables_are_expanded_on_the_node(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    data = staged(source, Path("$NODE_DISK/zoos"))
    assert data.zoo.path.parent == tmp_path / "disk" / "zoos"
    monkeypatch.delenv("NODE_DISK")
    with pytest.raises(ValueError, match="set the variable on every node"):
        staged(source, Path("$NODE_DISK/zoos"))


def test_a_process_that_finds_no_copy_says_so(source: Path, tmp_path: Path) -> None:
    data = ZooDataModule(str(source), stage_to=str(tmp_path / "disk"))
    with pytest.raises(ZooError, match="the first process of every node makes one"):
        data.setup("fit")


def test_space_that_runs_out_while_copying_leaves_nothing(source: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=r"00000\.safetensors"):
            staged(source, tmp_path / "disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "disk").iterdir()) == []
    staged(source, tmp_path / "disk").zoo.check()


@pytest.fixture
def copying(source: Path, tmp_path: Path) -> Iterator[tuple[ForkProcess, Connection]]:
    """A process that has copied one file, and waits for a word before every other one."""
    here, there = FORK.Pipe()
    copied = shutil.copyfile

    def copy(*files: Any) -> None:
        copied(*files)
        there.send("copied one")
        there.recv()

    def stage() -> None:
        shutil.copyfile = copy  # type: ignore[assignment]
        staged(source, tmp_path / "disk")

    process = FORK.Process(target=stage, daemon=True)
    process.start()
    assert here.recv() == "copied one"
    yield process, here
    process.kill()
    process.join()


def test_a_copy_that_a_living_process_makes_is_waited_for(
    copying: tuple[ForkProcess, Connection],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process, pipe = copying

    def tell(message: str, *arguments: object) -> None:
        assert "Waiting for %s" in message  # once this process waits
        for _ in range(9):
            pipe.send("go on")
        process.join()

    monkeypatch.setattr(staging._log, "warning", tell)
    monkeypatch.setattr(staging, "_copy", lambda *_: pytest.fail("copied twice"))
    copy = staged(source, tmp_path / "disk").zoo.path
    assert process.exitcode == 0
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [copy.name]


@pytest.mark.parametrize("place", ["the copy", "an unfinished copy"])
def test_links_in_the_place_of_copies_lead_nowhere(
    place: str, source: Path, tmp_path: Path
) -> None:
    copy = staged(source, tmp_path / "disk").zoo.path
    shutil.rmtree(copy)
    outside = tmp_path / "outside"
    (outside / "shards").mkdir(parents=True)
    (outside / SHARDS[0]).write_bytes(b"precious")
    link = copy if place == "the copy" else copy.with_name(f".{copy.name}.partial")
    link.symlink_to(outside)
    staged(source, tmp_path / "disk").zoo.check()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [copy.name]
    assert not copy.is_symlink()
    assert files(outside) == [SHARDS[0]]
    assert (outside / SHARDS[0]).read_bytes() == b"precious"
