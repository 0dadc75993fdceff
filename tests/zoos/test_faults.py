"""What goes wrong with disks: one clear error that names the file, and nothing finished is lost."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL_PROBLEM
from tests.zoos.building import FORK, PROBLEM, SETTINGS, contents, end, start
from tests.zoos.building import whole as whole  # a fixture
from wsrl.cli import main
from wsrl.zoos import BuildSettings, build_zoo, verify_zoo
from wsrl.zoos.build import shard_members, train_shard
from wsrl.zoos.files import PARTIAL, partial_file
from wsrl.zoos.making import Making, make_zoos
from wsrl.zoos.manifest import MANIFEST, PROGRESS, SHARDS, Manifest

ZOO = ["zoo", "build", "--problem", "formal_languages", "--quiet", "true"]
for _name, _value in (SMALL_PROBLEM | SETTINGS.to_dict()).items():
    if _value is not None:
        ZOO += [f"--{_name}", str(_value)]

NOBODY = 65534


def run(before: Callable[[], object], args: list[str], err: Path) -> int | None:
    """Run the command in a process of its own, prepared by ``before``; its errors go to a file."""

    def command() -> None:
        torch.set_num_threads(1)
        sys.stderr = err.open("w", buffering=1)
        before()
        os._exit(main(args))

    process = FORK.Process(target=command)
    process.start()
    return end(process)


def times(zoo: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (zoo / "shards").iterdir()}


@pytest.mark.parametrize(
    ("options", "file"),
    [
        ([], "shards/00001.safetensors"),
        (["--checkpoint_seconds", "0"], "progress/00001.safetensors"),
    ],
)
def test_a_full_disk(options: list[str], file: str, whole: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    assert end(start(zoo, part=(1, 5))) == 0
    kept, before = times(zoo), {path.name for path in zoo.rglob("*")}

    def nearly_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))

    err = tmp_path / "err"
    assert run(nearly_full, [*ZOO, "--out", str(zoo), *options], err) == 1
    assert err.read_text() == f"wsrl zoo build: error: [Errno 27] File too large: '{zoo / file}'\n"
    assert times(zoo) == kept
    assert {path.name for path in zoo.rglob("*")} == before  # no halves
    assert end(start(zoo)) == 0
    assert contents(zoo) == contents(whole)
    assert times(zoo).items() > kept.items()


@pytest.fixture
def read_only() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Return a folder, and what makes a process one that may not write there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "disk"
        folder.mkdir()

        def lose_rights() -> None:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)

        yield folder, lose_rights
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def protect(folder: Path) -> None:
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_folder_that_cannot_be_written(
    read_only: tuple[Path, Callable[[], None]], whole: Path, tmp_path: Path
) -> None:
    folder, lose_rights = read_only
    zoo, err = folder / "zoo", tmp_path / "err"
    assert end(start(zoo, part=(1, 5))) == 0
    kept = times(zoo)
    protect(folder)
    options = ["--backend", "eager"]  # compiled kernels lie where this process may not look
    said = "wsrl zoo build: error: [Errno 13] Permission denied: "
    assert run(lose_rights, [*ZOO, *options, "--out", str(folder / "new")], err) == 1
    assert err.read_text() == f"{said}'{folder / 'new'}'\n"
    assert run(lose_rights, [*ZOO, *options, "--out", str(zoo)], err) == 1
    assert err.read_text() == f"{said}'{zoo / 'build.lock'}'\n"
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    assert times(zoo) == kept
    assert end(start(zoo)) == 0
    assert contents(zoo) == contents(whole)
    protect(folder)  # a finished zoo needs no more writing
    assert run(lose_rights, [*ZOO, *options, "--out", str(zoo)], err) == 0
    assert run(lose_rights, ["zoo", "repair", str(zoo)], err) == 0


@pytest.mark.parametrize("unreadable", ["shards/00001.safetensors", MANIFEST, "shards"])
def test_what_may_not_be_read_is_not_called_damaged(
    unreadable: str, read_only: tuple[Path, Callable[[], None]], whole: Path, tmp_path: Path
) -> None:
    folder, lose_rights = read_only
    zoo = Path(shutil.copytree(whole, folder / "zoo"))
    folder.parent.chmod(0o755)
    before = contents(zoo)
    (zoo / unreadable).chmod(0)
    said = f"[Errno 13] Permission denied: '{zoo / unreadable}"
    for command in ("verify", "info", "repair"):
        assert run(lose_rights, ["zoo", command, str(zoo)], tmp_path / "err") == 1
        assert (tmp_path / "err").read_text().startswith(f"wsrl zoo {command}: error: {said}")
    (zoo / unreadable).chmod(0o755)
    assert contents(zoo) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_ended_in_any_write_a_build_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    """The first start ends in its first write, the second in its second, and so on."""
    small = BuildSettings(runs=4, snapshots=[0, 3], hidden_size=4, group_size=2)
    assert end(start(tmp_path / "whole", small)) == 0

    def build(last_write: int) -> None:
        torch.set_num_threads(1)
        sync, writes = os.fsync, itertools.count(1)

        def fsync(handle: int) -> None:
            written = os.readlink(f"/proc/self/fd/{handle}").endswith(PARTIAL)
            if written and next(writes) == last_write:
                os.kill(os.getpid(), number)
            sync(handle)

        os.fsync = fsync
        build_zoo(tmp_path / "zoo", PROBLEM, small, checkpoint_seconds=0, quiet=True)

    ends: list[int | None] = []
    while ends[-1:] != [0]:
        process = FORK.Process(target=build, args=(len(ends) + 1,), daemon=True)
        process.start()
        ends.append(end(process))
        assert ends[-1] in (0, -number, 128 + number)
    assert len(ends) > 5
    assert contents(tmp_path / "zoo") == contents(tmp_path / "whole")


def die_in_writes_once(folder: Path, index: int, *arguments: Any) -> None:
    """Train a shard; the first process dies while it writes both the shard and its state."""
    name = f"{index:05d}.safetensors"
    if not list((folder / SHARDS).glob(f"{name}*")):
        (folder / SHARDS).mkdir(exist_ok=True)
        with partial_file(folder / SHARDS / name), partial_file(folder / PROGRESS / name):
            os.kill(os.getpid(), signal.SIGKILL)
    train_shard(folder, index, *arguments)


def test_workers_that_die_in_a_write_leave_nothing_behind(whole: Path, tmp_path: Path) -> None:
    """The build goes on without them, and nobody starts it again."""
    spec = SETTINGS.spec(PROBLEM)
    manifest = Manifest.of(PROBLEM, spec, SETTINGS.to_dict(), PROBLEM.columns())
    arguments = [(PROBLEM, SETTINGS, 120.0, "cpu", "auto")] * len(shard_members(SETTINGS))
    zoo, sizes = tmp_path / "zoo", [len(members) for members in shard_members(SETTINGS)]
    making = Making(zoo, manifest, sizes, die_in_writes_once, arguments)
    make_zoos([making], workers=2, quiet=True)
    assert contents(zoo) == contents(whole)
    verify_zoo(zoo)
