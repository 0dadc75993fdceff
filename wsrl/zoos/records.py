"""What lies beside an unfinished zoo: records of finished shards, states of running ones.

All of it is in the folder ``progress``, under names that begin with the number of a shard.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, field
from pathlib import Path

from wsrl.strict_json import read_json
from wsrl.validation import checked, from_json
from wsrl.zoos.files import remove_leftovers, write_atomically
from wsrl.zoos.manifest import SHARDS, Failed, Manifest, Shard, ZooError, checksum_of

PROGRESS = "progress"

_OURS = re.compile(r"\d{5,}\.(json|safetensors)")
_RECORD = re.compile(r"\d{5,}\.json")


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

    def write(self, folder: Path, index: int) -> None:
        """Record the shard."""
        content = asdict(self)
        content["sha256"] = checksum_of(content)
        path = record_path(folder, index)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(content, indent=2).encode())

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
    """
    return {index: Record.read(folder, index) for index in which}


def remove_partial(folder: Path) -> None:
    """Remove what processes that died were writing into a zoo."""
    for where in (folder, folder / SHARDS, folder / PROGRESS):
        remove_leftovers(where)


def tidy(folder: Path) -> None:
    """Remove what a finished zoo does not need; only what we made, known by its name."""
    progress = folder / PROGRESS
    with contextlib.suppress(OSError):  # a finished zoo may be read where nothing can be written
        for name in filter(_OURS.fullmatch, _names(progress)):
            (progress / name).unlink()
        progress.rmdir()


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
