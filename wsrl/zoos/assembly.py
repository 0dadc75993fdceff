"""Make a zoo shard by shard, and complete it when all shards are there.

Every finished shard has a record beside the unfinished zoo, so that a build may end at any moment
and go on later. The process that finds all records writes the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from wsrl.stopping import StopRequests
from wsrl.zoos.folder import Part, alone, locked_zoo, open_or_create
from wsrl.zoos.manifest import BACKUP, Manifest
from wsrl.zoos.shards import Record, check_shards, finished, tidy, write_finished


def write_zoo(
    out: str | Path,
    manifest: Manifest,
    shards: int,
    columns: Callable[[int], Mapping[str, Tensor]],
) -> Manifest:
    """Write a zoo that comes from elsewhere, or go on with one whose writing was interrupted.

    A zoo is unfinished until its last shard is there, and is recognised as such.

    Args:
        out: the zoo's folder; new, empty, or holding the same zoo.
        manifest: what it will hold; without shards.
        shards: how many there will be.
        columns: returns the columns of shard ``n``, ``(rows, *shape)`` each.

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: where the folder holds something else, another process works on it, or a file of
            the zoo is damaged.
    """
    folder = Path(out)
    open_or_create(folder, manifest)
    with StopRequests() as stop, locked_zoo(folder):
        for index in missing_shards(folder, shards):
            stop.raise_if_any()
            write_finished(folder, index, columns(index))
        return complete(folder, shards)


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
        known = manifest.shards
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


def shares(shards: int, part: Part | None) -> Sequence[int]:
    """Return which shards are a part's; all where there are no parts.

    Raises:
        ValueError: where ``i`` is not in 1..``n``.
    """
    which, parts = part or (1, 1)
    if not 1 <= which <= parts:
        raise ValueError(f"part {which}/{parts}: expected i/n with i from 1 to n")
    return range(which - 1, shards, parts)


def whats_left(path: str | Path, shards: int, parts: int) -> list[str]:
    """Return lines that say how many shards a zoo lacks, and of which parts."""
    folder = Path(path)
    with alone(folder):
        done = finished(folder, Manifest.read(folder))
    missing = [index for index in range(shards) if index not in done]
    of_parts = [index % parts for index in missing]
    lines = [f"{of_parts.count(i)} of part {i + 1}/{parts}" for i in sorted({*of_parts})]
    return [f"{len(missing)} of {shards} shards are missing", *lines] if missing else []


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
