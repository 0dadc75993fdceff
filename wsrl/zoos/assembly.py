"""Make a zoo shard by shard, and complete it when all shards are there.

Every finished shard has a record beside the unfinished zoo, so that a build may end at any moment
and go on later. The process that finds all records writes the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from wsrl.zoos.folder import Part, alone
from wsrl.zoos.manifest import BACKUP, Manifest
from wsrl.zoos.records import Record, finished, read_records, state_path, tidy
from wsrl.zoos.shards import check_shards, write_shard


def missing_shards(folder: Path, shards: int, part: Part | None = None) -> list[int]:
    """Return the numbers of the shards of a share that are not finished; check those that are.

    Raises:
        ZooError: naming finished shards or records that are damaged.
        ValueError: where ``i`` of a part is not in 1..``n``.
    """
    share = shares(shards, part)
    with alone(folder):
        manifest = Manifest.read(folder)
        done = finished(folder, manifest)
        if manifest.complete:
            known = manifest.shards
        else:
            records = read_records(folder, [index for index in share if index in done])
            known = [record.shard for record in records.values()]
    check_shards(folder, known)
    return [index for index in share if index not in done]


def write_finished(
    folder: Path,
    index: int,
    columns: Mapping[str, Tensor],
    failed: Mapping[str, int] | None = None,
    backends: Sequence[str] = (),
) -> None:
    """Write a shard and its record.

    Args:
        folder: the zoo's.
        index: of the shard.
        columns: ``(rows, *shape)`` each.
        failed: members in which something was not finite, as in the manifest.
        backends: what computed it, as in the manifest's ``versions``.

    Raises:
        OSError: naming the file, as where the disk is full.
    """
    shard = write_shard(folder, index, columns)
    Record(shard, dict(failed or {}), list(backends)).write(folder, index)
    state_path(folder, index).unlink(missing_ok=True)


def complete(folder: Path, shards: int) -> Manifest:
    """Write the manifest of a zoo if all its shards are there; every process writes the same.

    Returns:
        The manifest.
    """
    with alone(folder):
        manifest = Manifest.read(folder)
        if not manifest.complete:
            if len(finished(folder, manifest)) < shards:
                return manifest
            manifest = _completed(manifest, read_records(folder, range(shards)))
            manifest.write(folder, BACKUP)
            manifest.write(folder)
        tidy(folder)
    return manifest


def shares(shards: int, part: Part | None) -> Sequence[int]:
    """Return which shards are a part's; all where there are no parts.

    Raises:
        ValueError: where ``i`` is not in 1..``n``.
    """
    if part is None:
        return range(shards)
    which, parts = part
    if not 1 <= which <= parts:
        raise ValueError(f"part {which}/{parts}: expected i/n with i from 1 to n")
    return range(which - 1, shards, parts)


def whats_left(path: str | Path, shards: int, parts: int) -> list[str]:
    """Return lines that say how many shards a zoo lacks, and of which parts."""
    folder = Path(path)
    with alone(folder):
        done = finished(folder, Manifest.read(folder))
    missing = [index for index in range(shards) if index not in done]
    if not missing:
        return []
    lines = [f"{len(missing)} of {shards} shards are missing"]
    for which in sorted({index % parts for index in missing}):
        count = len([index for index in missing if index % parts == which])
        lines.append(f"{count} of part {which + 1}/{parts}")
    return lines


def _completed(manifest: Manifest, records: Mapping[int, Record]) -> Manifest:
    """Return an unfinished zoo's manifest with what the records of its shards add."""
    failed = dict(manifest.failed)
    known = manifest.versions.get("backend")
    backends = set(known.split(", ") if known else ())
    for record in records.values():
        failed |= record.failed
        backends |= set(record.backends)
    versions = manifest.versions | ({"backend": ", ".join(sorted(backends))} if backends else {})
    return replace(
        manifest,
        shards=[record.shard for record in records.values()],
        failed={run: failed[run] for run in sorted(failed, key=int)},
        versions=versions,
        complete=True,
    )
