"""A folder that is written: a zoo's, whether it is that very zoo's; or one that is made at once."""

import os
import re
import reprlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from wsrl.jobs import locked
from wsrl.safe_files import check_inside
from wsrl.zoos.files import PARTIAL, remove, remove_leftovers
from wsrl.zoos.manifest import BACKUP, MANIFEST, PROGRESS, SHARDS, Manifest, ZooError

Part: TypeAlias = tuple[int, int]
"""``(i, n)``: the ``i``-th of ``n`` shares of the shards, from 1."""

_NOTES = {"read_from"}
"""What says how files were read; zoos that differ in this alone are the same."""

_BUILD, _MANIFEST = "build.lock", "manifest.lock"
_OF_BEGINNERS = re.compile(rf"{re.escape(MANIFEST)}\.[0-9a-f]{{8}}\.partial|[\w-]+\.lock")
"""What a process that begins a zoo writes before the manifest is there."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = 12


def check_folder(folder: Path) -> None:
    """Check a zoo's folder before anything is written or deleted in it."""
    try:
        check_inside(folder, MANIFEST, BACKUP, SHARDS, PROGRESS)
        for place in (folder / SHARDS, folder / PROGRESS):
            names = os.listdir(place) if place.is_dir() else []
            check_inside(folder, *(f"{place.name}/{name}" for name in names))
    except ValueError as error:
        raise ZooError(str(error)) from error


def check_collection(folder: Path) -> None:
    """Check that a folder can hold the folders of zoos: it is no zoo itself."""
    if (folder / MANIFEST).is_file():
        raise ZooError(f"{folder} holds one zoo, not a folder of zoos: choose another folder")


@contextmanager
def locked_zoo(folder: Path, part: Part | None = None) -> Iterator[Path]:
    """Have a zoo's folder, or one share of its shards, for one command; yield the lock file.

    What killed processes were writing is removed. A finished zoo that this process cannot write is
    not locked.

    Raises:
        ZooError: naming the process that works on the same.
        OSError: naming the file, where it cannot be written.
    """

    def refuse(holder: str) -> None:
        raise ZooError(f"{holder} is working on {folder}: wait for it or stop it")

    if not os.access(folder, os.W_OK) and Manifest.read(folder).complete:
        yield folder / MANIFEST
        return
    own = _BUILD if part is None else f"part-{part[0]}-of-{part[1]}.lock"
    with locked(folder / own, refuse):
        friends = own if part is None else f"part-*-of-{part[1]}.lock"
        with ExitStack() as held:  # none of the others may work now
            for path in sorted({*folder.glob(_BUILD), *folder.glob("part-*.lock")}):
                if not path.match(friends):
                    held.enter_context(locked(path, refuse))
        for where in (folder, folder / SHARDS, folder / PROGRESS):
            remove_leftovers(where)
        yield folder / own


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have a zoo's manifest and records for a moment; processes of other parts wait."""
    with ExitStack() as held:
        if os.access(folder, os.W_OK):
            held.enter_context(locked(folder / _MANIFEST, lambda holder: None))
        yield


def open_or_create(folder: Path, wanted: Manifest) -> None:
    """Begin a zoo in a new or empty folder, or see that it holds the same one."""
    check_folder(folder)
    if folder.exists() and not folder.is_dir():
        raise ZooError(f"{folder} exists and is no folder: choose an empty or a new one")
    folder.mkdir(parents=True, exist_ok=True)
    names = os.listdir(folder)
    if MANIFEST not in names and not all(map(_OF_BEGINNERS.fullmatch, names)):
        if (folder / BACKUP).is_file():
            Manifest.read(folder)  # says how to go on
        raise ZooError(f"{folder} exists and holds no zoo: choose an empty or a new folder")
    with alone(folder):
        if not (folder / MANIFEST).exists():
            wanted.write(folder)
        found = Manifest.read(folder)
        _check_same(found, wanted, folder)
        if not found.complete and not (folder / BACKUP).exists():
            found.write(folder, BACKUP)


def _check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    different = []
    for part in ("problem", "problem_settings", "spec", "build", "source"):
        there, asked = getattr(found, part), getattr(wanted, part)
        if isinstance(there, str):
            there, asked = {part: there}, {part: asked}
        different += [
            f"{name}: {_short.repr(there.get(name))} there, "
            f"{_short.repr(asked.get(name))} asked for"
            for name in sorted((there.keys() | asked.keys()) - _NOTES)
            if there.get(name) != asked.get(name)
        ]
    if different:
        raise ZooError(
            f"{folder} holds a zoo of other settings; choose another folder or the same "
            "settings:\n  " + "\n  ".join(different)
        )


def write_folder(
    target: Path,
    write: Callable[[Path], None],
    busy: Callable[[str], None],
    is_there: Callable[[], bool] = lambda: False,
) -> None:
    """Make a folder, whole or not at all; one process at a time.

    Args:
        target: the folder; it must not exist, or be empty.
        write: fills a new folder beside it, which then gets its name.
        busy: as of ``locked``.
        is_there: asked when nobody else makes the folder; where it is, nothing is written.

    Raises:
        OSError: where something cannot be written; nothing is left of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}.lock"), busy):
        partial = target.with_name(f".{target.name}{PARTIAL}")
        remove(partial)  # of a process that was killed
        if is_there():
            return
        try:
            partial.mkdir()
            write(partial)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
