"""Copies of zoos on a node's own disk, so that training does not read over the network."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path

from wsrl.safe_files import read_regular
from wsrl.strict_json import LARGEST_JSON
from wsrl.zoos import Zoo, ZooError, open_zoo
from wsrl.zoos.files import checksum, remove
from wsrl.zoos.folder import write_folder
from wsrl.zoos.manifest import MANIFEST, SHARDS
from wsrl.zoos.published.reading import ARGUMENTS

_log = logging.getLogger("wsrl")


def staged_path(zoo: Zoo, stage_to: str) -> Path:
    """Return where the copy of a zoo is, or would be: it depends on its path and its content.

    In ``stage_to``, a folder of this node, ``~`` and environment variables are expanded; one that
    is not set here is a ``ValueError``.
    """
    folder = os.path.expanduser(os.path.expandvars(stage_to))
    if "$" in folder:
        raise ValueError(
            f"stage_to is {stage_to}, which is {folder} here: set the variable on every node, or "
            "give a folder"
        )
    path = zoo.path.resolve()
    content = hashlib.sha256(str(path).encode())
    if zoo.manifest.shards:
        content.update(read_regular(path / MANIFEST, LARGEST_JSON))
    else:  # published files have no checksums
        for name in _files(zoo):
            state = (path / name).stat()
            content.update(f"{name} {state.st_size} {state.st_mtime_ns}".encode())
    return Path(folder).resolve() / f"{path.name}-{content.hexdigest()[:16]}"


def stage_zoo(zoo: Zoo, stage_to: str) -> None:
    """Copy a zoo to a node's own disk, unless a whole copy is there; then check that.

    The copy is checked against the zoo's checksums while it is made (of published files, which have
    none, as ``Zoo.check`` does). Of several jobs that do this at once one makes the copy, and the
    others wait for it and use it.

    Raises:
        ZooError: naming the file of the zoo that is damaged.
        OSError: where the folder cannot be written or has too little space.
    """
    target, waiting = staged_path(zoo, stage_to), list[str]()

    def wait(holder: str) -> None:
        if not waiting:
            _log.warning("Waiting for %s, which stages the same zoo.", holder)
            waiting.append(holder)

    if not _is_copy(zoo, target):  # else nothing needs to be written
        write_folder(
            target, lambda folder: _copy(zoo, target, folder), wait, lambda: _is_copy(zoo, target)
        )


def open_staged(zoo: Zoo, stage_to: str) -> Zoo:
    """Open the copy that ``stage_zoo`` made on this node."""
    target = staged_path(zoo, stage_to)
    if not target.exists():
        raise ZooError(
            f"no copy of the zoo at {zoo.path} in {target.parent}: the first process of every node "
            "makes one, in a folder that must be the same for all processes of the node "
            f"(stage_to is {stage_to})"
        )
    return open_zoo(target)


def _files(zoo: Zoo) -> list[str]:
    """Name the files of a zoo within its folder, what describes it last."""
    if zoo.manifest.shards:
        return [*(f"{SHARDS}/{shard.file}" for shard in zoo.manifest.shards), MANIFEST]
    names = [f"{name}.npy" for name in zoo.manifest.source["headers"]]
    return names + [ARGUMENTS] * (zoo.path / ARGUMENTS).is_file()


def _is_copy(zoo: Zoo, folder: Path) -> bool:
    """Say whether a folder holds a whole copy of this very zoo."""
    try:
        copy = open_zoo(folder)
        copy.check()
    except ZooError:
        return False
    return copy.manifest == zoo.manifest


def _copy(zoo: Zoo, place: Path, folder: Path) -> None:
    """Copy a zoo into a new folder, and remove an earlier copy from its place."""
    if os.path.lexists(place):
        old = folder / "old"
        place.rename(old)  # at once: nobody opens half of it
        remove(old)
    _check_space(zoo, folder)
    wanted = {f"{SHARDS}/{shard.file}": shard.sha256 for shard in zoo.manifest.shards}
    for name in _files(zoo):
        source, target = zoo.path / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            reason = error.strerror or str(error)
            raise type(error)(error.errno, f"{reason}, copying {source}", str(target)) from error
        if name in wanted and wanted[name] != checksum(target):
            raise ZooError(f"the zoo is damaged: the checksum of {source} differs")
    if not wanted:
        open_zoo(folder).check()


def _check_space(zoo: Zoo, folder: Path) -> None:
    needed = sum((zoo.path / name).stat().st_size for name in _files(zoo))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"staging the zoo at {zoo.path} needs {needed / 1e9:.2f} GB, of which "
            f"{free / 1e9:.2f} GB are free: choose another stage_to, or leave it out",
            str(folder),
        )
