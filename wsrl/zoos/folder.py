"""A zoo's folder while it is being written: who may write what into it."""

from __future__ import annotations

import fcntl
import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsrl.zoos.manifest import MANIFEST, Manifest, ZooError

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = 12


def open_or_create(folder: Path, wanted: Manifest) -> Manifest:
    """Begin a zoo in a new or empty folder, or go on with the same one.

    Returns:
        The manifest in the folder.

    Raises:
        ZooError: where the folder holds another zoo, or something else.
    """
    if (folder / MANIFEST).exists():
        found = Manifest.read(folder)
        _check_same(found, wanted, folder)
        return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ZooError(f"{folder} exists and holds no zoo: choose an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    wanted.write(folder)
    return wanted


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Refuse to write where another process writes; the lock ends with the process, however."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ZooError(f"another process is writing {folder}: wait for it or stop it") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


def _check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    differences = []
    if found.problem != wanted.problem:
        differences.append(f"problem: {found.problem} there, {wanted.problem} asked for")
    for part in ("problem_settings", "spec", "build", "source"):
        there, asked = getattr(found, part), getattr(wanted, part)
        differences += [
            f"{name}: {_short.repr(there.get(name))} there, "
            f"{_short.repr(asked.get(name))} asked for"
            for name in sorted(there.keys() | asked.keys())
            if there.get(name) != asked.get(name)
        ]
    if differences:
        raise ZooError(
            f"{folder} holds a zoo of other settings; choose another folder or the same "
            "settings:\n  " + "\n  ".join(differences)
        )
