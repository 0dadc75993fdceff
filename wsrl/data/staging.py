"""Copies of zoos on a node's own disk, so that training does not read over the network."""

import hashlib
import logging
import os
import shutil
from pathlib import Path

from wsrl.zoos import AnyZoo, Zoo, ZooError, open_one, open_zoo
from wsrl.zoos.files import remove
from wsrl.zoos.folder import write_folder
from wsrl.zoos.labels import LABELS
from wsrl.zoos.manifest import MANIFEST, SHARDS
from wsrl.zoos.published.reading import ARGUMENTS

_log = logging.getLogger("wsrl")


def staged_path(zoo: Zoo, stage_to: str) -> Path:
    """Return where the copy of a zoo is, or would be; it depends on path, size and time of files.

    In ``stage_to``, a folder of this node, ``~`` and environment variables are expanded; one that
    is not set here is a ``ValueError``.
    """
    folder = os.path.expanduser(os.path.expandvars(stage_to))
    if "$" in folder:
        raise ValueError(f"stage_to is {folder} here: set the variable on every node")
    path = zoo.path.resolve()
    content = hashlib.sha256(str(path).encode())
    for name in _files(zoo):
        state = (path / name).stat()
        content.update(f"{name} {state.st_size} {state.st_mtime_ns}".encode())
    return Path(folder).resolve() / f"{path.name}-{content.hexdigest()[:16]}"


def stage_zoo(zoo: AnyZoo, stage_to: str) -> None:
    """Copy zoos to a node's own disk, unless a whole copy is there; check either (``Zoo.check``).

    Of several jobs that do this at once one makes the copy, and the others wait for it and use it.

    Raises:
        ZooError: where the zoo is damaged.
        OSError: where the folder cannot be written or has too little space.
    """
    for each in zoo.zoos:
        _stage(each, stage_to)


def _stage(zoo: Zoo, stage_to: str) -> None:
    target, waiting = staged_path(zoo, stage_to), set[str]()

    def wait(holder: str) -> None:
        if holder not in waiting:
            _log.warning("Waiting for %s, which stages the same zoo.", holder)
            waiting.add(holder)

    def is_there() -> bool:
        try:
            copy = open_one(target)
            copy.check()
        except ZooError:
            return False
        return copy.manifest == zoo.manifest

    if not is_there():  # else nothing needs to be written
        write_folder(target, lambda folder: _copy(zoo, target, folder), wait, is_there)


def open_staged(zoo: AnyZoo, stage_to: str) -> AnyZoo:
    """Open the copies that ``stage_zoo`` made on this node."""
    targets = [staged_path(each, stage_to) for each in zoo.zoos]
    for each, target in zip(zoo.zoos, targets, strict=True):
        if not target.exists():
            raise ZooError(
                f"no copy of the zoo at {each.path} in {target.parent} (stage_to is {stage_to}): "
                "the first process of every node makes one, in the same folder for all of the node"
            )
    return open_zoo(targets)


def _files(zoo: Zoo) -> list[str]:
    labels = [LABELS] * (zoo.path / LABELS).is_file()
    if zoo.manifest.shards:
        return [*(f"{SHARDS}/{shard.file}" for shard in zoo.manifest.shards), MANIFEST, *labels]
    names = [f"{name}.npy" for name in zoo.manifest.source["headers"]]
    return names + [ARGUMENTS] * (zoo.path / ARGUMENTS).is_file() + labels


def _copy(zoo: Zoo, place: Path, folder: Path) -> None:
    """Copy a zoo into a new folder, and remove an earlier copy from its place."""
    remove(place)
    for name in _files(zoo):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(zoo.path / name, folder / name)
    try:
        open_one(folder).check()
    except ZooError:
        zoo.check()  # names what is damaged, where it is
        raise
