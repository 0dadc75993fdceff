"""Repair a damaged zoo: keep its sound shards, so that only the others are trained again."""

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
        if manifest.complete and all(is_whole(folder, shard) for shard in manifest.shards):
            tidy(folder)
        else:
            _drop_damaged(folder, _reopened(folder, manifest), found)
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


def _reopened(folder: Path, manifest: Manifest) -> Manifest:
    """Make a complete zoo unfinished again; whenever this is interrupted it can be repeated."""
    if not manifest.complete:
        return manifest
    built = manifest.origin == "built"
    members = dict(enumerate(shard_members(manifest.settings) if built else ()))
    for index, shard in enumerate(manifest.shards):
        own = {run: at for run, at in manifest.failed.items() if int(run) in members.get(index, ())}
        Record(shard, own).write(folder, index)
    failed = {} if built else manifest.failed  # of ours the records tell
    reopened = replace(manifest, shards=[], complete=False, failed=failed)
    reopened.write(folder)
    reopened.write(folder, BACKUP)
    return reopened


def _drop_damaged(folder: Path, manifest: Manifest, found: list[str]) -> None:
    """Drop damaged records, the records of damaged shards, and damaged states."""
    for index in sorted(finished(folder, manifest)):
        place = record_path(folder, index)
        with suppress(ZooError):  # of the record, which is then what is damaged
            record = Record.read(folder, index)
            place = folder / SHARDS / record.shard.file
            if is_whole(folder, record.shard):
                continue
        found.append(f"{place} is {'damaged: dropped' if place.is_file() else 'missing'}")
        record_path(folder, index).unlink()
    for path in sorted((folder / PROGRESS).glob("*.safetensors")):
        if path.stem.isdecimal() and path == state_path(folder, int(path.stem)):
            try:
                read_state(path)
            except ZooError:
                path.unlink()
                found.append(f"{path} is damaged: dropped, its group trains from its start")
