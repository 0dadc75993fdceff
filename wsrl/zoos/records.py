"""What lies beside an unfinished zoo: records of finished shards, states, leases.

All of it is in the folder ``progress``, under names that begin with the number of a shard.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, field
from pathlib import Path

from wsrl.strict_json import read_json
from wsrl.validation import checked, from_json
from wsrl.zoos.files import PARTIAL, create_atomically
from wsrl.zoos.manifest import (
    BACKUP,
    MANIFEST,
    SHARDS,
    Failed,
    Manifest,
    Shard,
    ZooError,
    checksum_of,
)

PROGRESS = "progress"

_TEMPORARY = rf"(\.[0-9a-f]{{8}})?{re.escape(PARTIAL)}"
_MANIFESTS = re.compile(rf"({re.escape(MANIFEST)}|{re.escape(BACKUP)})({_TEMPORARY})?")
_OURS = re.compile(rf"\d{{5,}}\.(json|safetensors|lease\.\d+)({_TEMPORARY})?")
_RECORD = re.compile(r"\d{5,}\.json")
_UNFINISHED = re.compile(rf".+{_TEMPORARY}")


@checked
class Record:
    """A finished shard: its entry for the manifest, and what else its maker knows.

    Attributes:
        shard: the file.
        failed: members in which something was not finite, as in the manifest.
        backends: what computed it, as in the manifest's ``versions``.
    """

    shard: Shard
    failed: Failed = field(default_factory=dict)
    backends: list[str] = field(default_factory=list)

    def create(self, folder: Path, index: int) -> bool:
        """Record the shard; ``False`` where it is recorded already, which stays."""
        content = asdict(self)
        content["sha256"] = checksum_of(content)
        return create_atomically(record_path(folder, index), json.dumps(content, indent=2).encode())

    @classmethod
    def read(cls, folder: Path, index: int) -> Record:
        """Read a shard's record.

        Raises:
            ZooError: for a damaged one.
            FileNotFoundError: where there is none.
        """
        path = record_path(folder, index)
        try:
            content = read_json(path)
            if content.pop("sha256", None) != checksum_of(content):
                raise ValueError("its checksum differs")
            record = from_json(cls, content)
            if record.shard.file != shard_name(index):
                raise ValueError(f"it is the record of {record.shard.file}")
            return record
        except ValueError as error:
            raise ZooError(f"{path} is damaged ({error}). Run: wsrl zoo repair {folder}") from error


def shard_name(index: int) -> str:
    """Return the file name of a shard."""
    return f"{index:05d}.safetensors"


def record_path(folder: Path, index: int) -> Path:
    """Return where the record of a shard lies."""
    return folder / PROGRESS / f"{index:05d}.json"


def state_path(folder: Path, index: int) -> Path:
    """Return where the state of a group in training lies."""
    return folder / PROGRESS / shard_name(index)


def finished(folder: Path, manifest: Manifest) -> set[int]:
    """Return which shards are finished: all of a complete zoo, else those with a record."""
    if manifest.complete:
        return set(range(len(manifest.shards)))
    names = _names(folder / PROGRESS)
    return {int(name.removesuffix(".json")) for name in names if _RECORD.fullmatch(name)}


def read_records(folder: Path, which: Iterable[int]) -> dict[int, Record]:
    """Read the records of finished shards.

    Raises:
        ZooError: for a damaged one.
        FileNotFoundError: where one is gone, since the zoo has been completed meanwhile.
    """
    return {index: Record.read(folder, index) for index in which}


def remove_unfinished(folder: Path, index: int) -> None:
    """Remove the files of a shard that were being written when their writer died."""
    for where in (folder / PROGRESS, folder / SHARDS):
        for name in _names(where):
            # A lease that is being created is another process's.
            of_shard = name.startswith(f"{index:05d}.") and ".lease." not in name
            if of_shard and _UNFINISHED.fullmatch(name):
                (where / name).unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what a finished zoo does not need; only what we made, known by its name."""
    with contextlib.suppress(OSError):  # a finished zoo may be read where nothing can be written
        for name in _names(folder):
            if _MANIFESTS.fullmatch(name) and _UNFINISHED.fullmatch(name):
                (folder / name).unlink(missing_ok=True)
        for name in _names(folder / SHARDS):
            if _OURS.fullmatch(name) and _UNFINISHED.fullmatch(name):
                (folder / SHARDS / name).unlink(missing_ok=True)
        for name in _names(folder / PROGRESS):
            if _OURS.fullmatch(name):
                (folder / PROGRESS / name).unlink(missing_ok=True)
        if (folder / PROGRESS).is_dir():
            (folder / PROGRESS).rmdir()


def is_new(folder: Path) -> bool:
    """Say whether a folder holds nothing yet but what a process that begins a zoo writes first."""
    names = _names(folder)
    return all(_MANIFESTS.fullmatch(name) and _UNFINISHED.fullmatch(name) for name in names)


def _names(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.iterdir()]
    except FileNotFoundError:
        return []
