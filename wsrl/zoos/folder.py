"""A zoo's folder when its writing begins or goes on: whether it is that very zoo's."""

from __future__ import annotations

import os
import reprlib
from pathlib import Path

from wsrl.safe_files import check_inside
from wsrl.zoos.manifest import BACKUP, MANIFEST, SHARDS, Manifest, ZooError
from wsrl.zoos.records import PROGRESS, is_new

_NOTES = {"read_from"}
"""What says how a zoo was made, not what it is: the same RNNs read otherwise are the same zoo."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxdict = 12


def check_folder(folder: Path) -> None:
    """Check a zoo's folder before anything is written or deleted in it.

    Raises:
        OSError: where it cannot be listed.
        ZooError: where a link in it leads out of it, or its path is no UTF-8.
    """
    check_name(folder)
    try:
        check_inside(folder, MANIFEST, BACKUP, SHARDS, PROGRESS)
        for place in (folder / SHARDS, folder / PROGRESS):
            names = os.listdir(place) if place.is_dir() else []
            check_inside(folder, *(f"{place.name}/{name}" for name in names))
    except ValueError as error:
        raise ZooError(str(error)) from error


def check_name(folder: Path) -> None:
    """Refuse a folder whose path is no UTF-8: safetensors could not open the files in it.

    Raises:
        ZooError: for such a path.
    """
    try:
        os.path.realpath(folder).encode()
    except UnicodeEncodeError as error:
        raise ZooError(f"{str(folder)!r} is no UTF-8: choose a folder of another name") from error


def open_or_create(folder: Path, wanted: Manifest) -> Manifest:
    """Begin a zoo in a new or empty folder, or go on with the same one.

    Several processes may do so at once: one begins it.

    Returns:
        The manifest in the folder.

    Raises:
        ZooError: where the folder holds another zoo, or something else, or a link in it leads out
            of it.
    """
    check_folder(folder)
    if not (folder / MANIFEST).exists():
        if folder.exists() and not folder.is_dir():
            raise ZooError(f"{folder} exists and is no folder: choose an empty or a new one")
        folder.mkdir(parents=True, exist_ok=True)
        # Asked again: another process may have begun between the two questions.
        if not is_new(folder) and not (folder / MANIFEST).exists():
            if (folder / BACKUP).is_file():
                Manifest.read(folder)  # says how to go on
            raise ZooError(f"{folder} exists and holds no zoo: choose an empty or a new folder")
        if wanted.create(folder):
            # Not over one that is there: others may have completed the zoo meanwhile.
            wanted.create(folder, BACKUP)
            return wanted
    found = Manifest.read(folder)
    _check_same(found, wanted, folder)
    if not found.complete and not (folder / BACKUP).exists():
        found.create(folder, BACKUP)  # its creator was killed, or is about to write the same
    return found


def _check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    differences = []
    if found.problem != wanted.problem:
        differences.append(f"problem: {found.problem} there, {wanted.problem} asked for")
    for part in ("problem_settings", "spec", "build", "source"):
        there, asked = getattr(found, part), getattr(wanted, part)
        differences += [
            f"{name}: {_short.repr(there.get(name))} there, "
            f"{_short.repr(asked.get(name))} asked for"
            for name in sorted((there.keys() | asked.keys()) - _NOTES)
            if there.get(name) != asked.get(name)
        ]
    if differences:
        raise ZooError(
            f"{folder} holds a zoo of other settings; choose another folder or the same "
            "settings:\n  " + "\n  ".join(differences)
        )
