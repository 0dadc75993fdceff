"""Repair a damaged zoo: keep its sound shards, so that only the others are trained again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wsrl.zoos.build import shard_members
from wsrl.zoos.folder import check_folder, locked_zoo
from wsrl.zoos.group import read_state
from wsrl.zoos.manifest import BACKUP, MANIFEST, PROGRESS, SHARDS, Manifest, ZooError
from wsrl.zoos.shards import Record, finished, is_whole, record_path, state_path, tidy


class Repair(NamedTuple):
    """A damaged zoo's manifest as it is now, and what was wrong, a line each."""

    manifest: Manifest
    found: list[str]


def repair_zoo(path: str | Path) -> Repair:
    """Keep the shards of a zoo that are whole, and drop the others, to be made again.

    A damaged manifest is restored from its second copy, and what processes that were killed left
    behind is removed. Nothing is trained: the command that made the zoo makes what is missing.

    Args:
        path: the zoo's folder.

    Raises:
        ZooError: where nothing can be repaired, a process is working on the zoo, or a link in it
            leads out of its folder.
        OSError: naming the file, where it cannot be written.
    """
    folder, found = Path(path), list[str]()
    check_folder(folder)
    with locked_zoo(folder):
        manifest = _readable_manifest(folder, found)
        records = _whole_records(folder, manifest, found)
        _drop_damaged_states(folder, found)
        if any(index not in records for index in range(len(manifest.shards))):
            _reopen(folder, records)
        elif manifest.complete:
            tidy(folder)
        return Repair(Manifest.read(folder), found)


def _readable_manifest(folder: Path, found: list[str]) -> Manifest:
    """Read the manifest or its second copy, and write the other where that is damaged."""
    read: dict[str, Manifest] = {}
    for name in (MANIFEST, BACKUP):
        with suppress(ZooError):
            read[name] = Manifest.read(folder, name)
    if not read:
        raise ZooError(
            f"nothing can be repaired at {folder}: neither {MANIFEST} nor {BACKUP} can be read. "
            "Restore one of them from a copy, or make the zoo again in another folder"
        )
    manifest = next(iter(read.values()))
    for name in {MANIFEST, BACKUP} - read.keys():
        manifest.write(folder, name)
        found.append(f"{name} could not be read, or was missing: written from its copy")
    return manifest


def _whole_records(folder: Path, manifest: Manifest, found: list[str]) -> dict[int, Record]:
    """Return the records of all shards that are whole; drop those of others."""
    groups = shard_members(manifest.settings) if manifest.origin == "built" else []
    records: dict[int, Record] = {}
    for index in sorted(finished(folder, manifest)):
        members = groups[index] if index < len(groups) else ()  # a record may be of no group
        failed = {run: step for run, step in manifest.failed.items() if int(run) in members}
        place = record_path(folder, index)
        with suppress(ZooError):  # of the record, which is then what is damaged
            known = Record(manifest.shards[index], failed) if manifest.complete else None
            record = known or Record.read(folder, index)
            place = folder / SHARDS / record.shard.file
            if is_whole(folder, record.shard):
                records[index] = record
                continue
        found.append(f"{place} is {'damaged: dropped' if place.is_file() else 'missing'}")
        record_path(folder, index).unlink(missing_ok=True)
    return records


def _drop_damaged_states(folder: Path, found: list[str]) -> None:
    for path in sorted((folder / PROGRESS).glob("*.safetensors")):
        if not path.stem.isdecimal() or path != state_path(folder, int(path.stem)):
            continue
        try:
            read_state(path)
        except ZooError:
            path.unlink()
            found.append(f"{path} is damaged: dropped, its group trains from its start")


def _reopen(folder: Path, records: dict[int, Record]) -> None:
    """Make a zoo unfinished again; whenever this is interrupted it can be repeated."""
    for index, record in records.items():
        record.write(folder, index)
    known = Manifest.read(folder)
    failed = {} if known.origin == "built" else known.failed  # of ours the records tell
    content = replace(known, shards=[], complete=False, failed=failed)
    content.write(folder)
    content.write(folder, BACKUP)
