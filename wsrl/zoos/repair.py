"""Keep what is whole of a damaged zoo, so that only the rest is made again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from wsrl.zoos.build import shard_members
from wsrl.zoos.folder import check_folder, locked_zoo
from wsrl.zoos.group import read_state
from wsrl.zoos.manifest import BACKUP, MANIFEST, SHARDS, Manifest, ZooError
from wsrl.zoos.records import PROGRESS, Record, finished, record_path, state_path, tidy
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.shards import is_whole


@dataclass(frozen=True)
class Repair:
    """What became of a damaged zoo.

    Attributes:
        manifest: as it is now; complete unless shards are to be made again.
        found: what was wrong, a line each; empty where all was well.
    """

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


def settings_of(manifest: Manifest) -> BuildSettings:
    """Return how a zoo that was built here is built.

    Raises:
        ZooError: for a manifest that does not say so.
    """
    try:
        return BuildSettings(**manifest.build)
    except (TypeError, ValueError) as error:
        raise ZooError(f"the manifest does not say how its zoo is built: {error}") from error


def _readable_manifest(folder: Path, found: list[str]) -> Manifest:
    """Read the manifest, or restore it; and see to its second copy."""
    try:
        manifest = Manifest.read(folder)
    except ZooError as error:
        try:
            manifest = Manifest.read(folder, BACKUP)
        except ZooError as second:
            raise ZooError(
                f"nothing can be repaired at {folder}: its {MANIFEST} and {BACKUP} cannot be read "
                f"({error}; {second}). Restore one of them from a copy, or make the zoo again in "
                "another folder"
            ) from second
        manifest.write(folder)
        found.append(f"{MANIFEST} could not be read: restored from {BACKUP}")
        return manifest
    try:
        Manifest.read(folder, BACKUP)
    except ZooError:
        manifest.write(folder, BACKUP)
        found.append(f"{BACKUP} could not be read, or was missing: written from {MANIFEST}")
    return manifest


def _whole_records(folder: Path, manifest: Manifest, found: list[str]) -> dict[int, Record]:
    """Return the records of all shards that are whole; drop those of others."""
    groups = shard_members(settings_of(manifest)) if manifest.origin == "built" else []
    records: dict[int, Record] = {}
    for index in sorted(finished(folder, manifest)):
        try:
            if manifest.complete:
                members = groups[index] if groups else ()
                failed = {run: step for run, step in manifest.failed.items() if int(run) in members}
                record = Record(manifest.shards[index], failed)
            else:
                record = Record.read(folder, index)
        except ZooError:
            found.append(f"{record_path(folder, index)} is damaged: its shard is dropped")
        else:
            if is_whole(folder, record.shard):
                records[index] = record
                continue
            file = folder / SHARDS / record.shard.file
            found.append(f"{file} is {'damaged: dropped' if file.is_file() else 'missing'}")
        record_path(folder, index).unlink(missing_ok=True)
    return records


def _drop_damaged_states(folder: Path, found: list[str]) -> None:
    for path in sorted((folder / PROGRESS).glob("*.safetensors")):
        if not re.fullmatch(r"\d{5,}", path.stem) or path != state_path(folder, int(path.stem)):
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
