"""Make a zoo shard by shard, and complete it when all shards are there.

A record says of a finished shard what the manifest will say of it, so that a build may end at any
moment and go on later; the process that finds all records writes the manifest. Records and the
states of groups in training are in ``progress``, named by the number of the shard.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path

from torch import Tensor

from wsrl.validation import checked, from_json
from wsrl.zoos.files import checksum, remove_leftovers
from wsrl.zoos.folder import Part, alone
from wsrl.zoos.manifest import (
    BACKUP,
    PROGRESS,
    SHARDS,
    Failed,
    Manifest,
    Shard,
    ZooError,
    read_with_checksum,
    write_with_checksum,
)
from wsrl.zoos.tensors import write_tensors

_RECORD, _STATE = re.compile(r"(\d{5,})\.json"), re.compile(r"\d{5,}\.(safetensors|json\.lock)")


@checked
class Record:
    """A finished shard: its entry for the manifest, failed members, and what computed it."""

    shard: Shard
    failed: Failed = field(default_factory=dict)
    backends: list[str] = field(default_factory=list)

    def write(self, folder: Path, index: int) -> None:
        """Record the shard."""
        (folder / PROGRESS).mkdir(exist_ok=True)
        write_with_checksum(record_path(folder, index), asdict(self))

    @classmethod
    def read(cls, folder: Path, index: int) -> Record:
        """Read a shard's record."""
        path = record_path(folder, index)
        try:
            record = from_json(cls, read_with_checksum(path, required=True))
            if record.shard.file != state_path(folder, index).name:
                raise ValueError(f"it is the record of {record.shard.file}")
            return record
        except ValueError as error:
            raise ZooError(f"{path} is damaged ({error}). Run: wsrl zoo repair {folder}") from error


def record_path(folder: Path, index: int) -> Path:
    """Return where the record of a shard lies."""
    return folder / PROGRESS / f"{index:05d}.json"


def state_path(folder: Path, index: int) -> Path:
    """Return where the state of a group in training lies."""
    return folder / PROGRESS / f"{index:05d}.safetensors"


def finished(folder: Path, manifest: Manifest) -> set[int]:
    """Return which shards are finished: all of a complete zoo, else those with a record."""
    if manifest.complete:
        return set(range(len(manifest.shards)))
    return {int(found[1]) for name in _names(folder) if (found := _RECORD.fullmatch(name))}


def write_finished(
    folder: Path, index: int, columns: Mapping[str, Tensor], failed: Failed, backends: list[str]
) -> None:
    """Write a shard, ``(rows, *shape)`` a column, and its record."""
    Record(write_shard(folder, index, columns), failed, backends).write(folder, index)
    state_path(folder, index).unlink(missing_ok=True)


def write_shard(folder: Path, index: int, columns: Mapping[str, Tensor]) -> Shard:
    """Write the snapshots of one group and return its entry for the manifest."""
    path = folder / SHARDS / state_path(folder, index).name
    write_tensors(path, columns, {"group": index})
    return Shard(path.name, len(columns["weights"]), path.stat().st_size, checksum(path))


def tidy(folder: Path) -> None:
    """Remove what a finished zoo does not need; only what we made, known by its name.

    A worker that was killed may have left half a file, though its build has gone on.
    """
    for place in (folder, folder / SHARDS, folder / PROGRESS):
        remove_leftovers(place)
    with contextlib.suppress(OSError):  # a finished zoo may be read where nothing can be written
        for name in _names(folder):
            if _RECORD.fullmatch(name) or _STATE.fullmatch(name):
                (folder / PROGRESS / name).unlink()
        (folder / PROGRESS).rmdir()


def check_shards(folder: Path, shards: Sequence[Shard]) -> None:
    """Compare shards with their checksums."""
    if wrong := [shard.file for shard in shards if not is_whole(folder, shard)]:
        what = f"shards in {folder / SHARDS} are missing or damaged (checksums differ)"
        raise ZooError(f"{what}: {', '.join(wrong)}. {again(folder)}")


def is_whole(folder: Path, shard: Shard) -> bool:
    """Say whether a shard's file is there and as it was written."""
    path = folder / SHARDS / shard.file
    known = path.is_file() and path.stat().st_size == shard.bytes
    return known and checksum(path) == shard.sha256


def again(folder: Path) -> str:
    """Say how a file of a zoo that is missing or damaged can be had again."""
    return f"Restore it from a copy, or have it made again: wsrl zoo repair {folder}"


def _names(folder: Path) -> list[str]:
    return os.listdir(folder / PROGRESS) if (folder / PROGRESS).is_dir() else []


def missing_shards(folder: Path, share: Sequence[int]) -> list[int]:
    """Return the numbers of the shards of a share that are not finished; check those that are."""
    with alone(folder):
        manifest = Manifest.read(folder)
        done, known = finished(folder, manifest), manifest.shards
        if not manifest.complete:
            known = [Record.read(folder, index).shard for index in share if index in done]
    check_shards(folder, known)
    return [index for index in share if index not in done]


def complete(folder: Path, shards: int) -> Manifest:
    """Write the manifest of a zoo if all its shards are there; every process writes the same."""
    with alone(folder):
        manifest = Manifest.read(folder)
        if not manifest.complete:
            if len(finished(folder, manifest)) < shards:
                return manifest
            manifest = _completed(manifest, [Record.read(folder, i) for i in range(shards)])
            manifest.write(folder, BACKUP)
            manifest.write(folder)
        tidy(folder)
    return manifest


def shares(shards: int, part: Part | None, before: int = 0) -> Sequence[int]:
    """Return which shards are a part's; all where there are no parts.

    ``before`` are those of other zoos, which are shared out first.
    """
    which, parts = part or (1, 1)
    if not 1 <= which <= parts:
        raise ValueError(f"part {which}/{parts}: expected i/n with i from 1 to n")
    return range((which - 1 - before) % parts, shards, parts)


def whats_left(zoos: Mapping[Path, int], parts: int) -> list[str]:
    """Return lines that say how many shards zoos lack, and of which parts.

    ``zoos`` are the numbers of their shards, by folder.
    """
    missing: list[int] = []
    before = 0
    for folder, shards in zoos.items():
        with alone(folder):
            done = finished(folder, Manifest.read(folder))
        missing += [before + index for index in range(shards) if index not in done]
        before += shards
    of_parts = [index % parts for index in missing]
    lines = [f"{of_parts.count(i)} of part {i + 1}/{parts}" for i in sorted({*of_parts})]
    return [f"{len(missing)} of {before} shards are missing", *lines] if missing else []


def _completed(manifest: Manifest, records: Sequence[Record]) -> Manifest:
    """Return an unfinished zoo's manifest with what the records of its shards add."""
    failed = dict(manifest.failed)
    known = manifest.versions.get("backend")
    backends = set(known.split(", ") if known else ())
    for record in records:
        failed |= record.failed
        backends |= set(record.backends)
    return replace(
        manifest,
        shards=[record.shard for record in records],
        failed={run: failed[run] for run in sorted(failed, key=int)},
        versions=manifest.versions | ({"backend": ", ".join(sorted(backends))} if backends else {}),
        complete=True,
    )
