"""Make a zoo shard by shard, and complete it when all shards are there.

Every finished shard has a record beside the unfinished zoo, so that whoever makes the zoo may end
at any moment and go on later. Whoever finds all records writes the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from wsrl.jobs import locked
from wsrl.zoos.manifest import BACKUP, Manifest, ZooError
from wsrl.zoos.records import (
    PROGRESS,
    Record,
    finished,
    read_records,
    remove_unfinished,
    state_path,
    tidy,
)
from wsrl.zoos.shards import check_shards, write_shard

Part: TypeAlias = tuple[int, int]
"""``(i, n)``: the ``i``-th of ``n`` shares of the shards, from 1."""

_BUILD = "build.lock"


@dataclass(frozen=True)
class Made:
    """What a shard is to hold.

    Attributes:
        columns: ``(rows, *shape)`` each.
        failed: members in which something was not finite, as in the manifest.
        backends: what computed it, as in the manifest's ``versions``.
    """

    columns: Mapping[str, Tensor]
    failed: dict[str, int] = field(default_factory=dict)
    backends: list[str] = field(default_factory=list)


@contextmanager
def locked_zoo(folder: Path, part: Part | None = None) -> Iterator[None]:
    """Have a zoo's folder, or one share of its shards, for one command.

    Raises:
        ZooError: naming the process that works on the same.
        OSError: naming the file, where it cannot be written.
    """

    def refuse(holder: str) -> None:
        raise ZooError(f"{holder} is working on {folder}: wait for it or stop it")

    name = _BUILD if part is None else f"part-{part[0]}-of-{part[1]}.lock"
    with locked(folder / name, refuse):
        others = "part-*.lock" if part is None else _BUILD
        with ExitStack() as held:  # none of the others may work now
            for path in sorted(folder.glob(others)):
                held.enter_context(locked(path, refuse))
        yield


def missing_shards(folder: Path, shards: int, part: Part | None = None) -> list[int]:
    """Return the numbers of the shards of a share that are not finished; check those that are.

    Raises:
        ZooError: naming finished shards or records that are damaged.
        ValueError: where ``i`` of a part is not in 1..``n``.
    """
    manifest, share = Manifest.read(folder), shares(shards, part)
    if manifest.complete:
        check_shards(folder, manifest.shards)
        return []
    done = finished(folder, manifest)
    records = read_records(folder, [i for i in share if i in done])
    check_shards(folder, [record.shard for record in records.values()])
    return [index for index in share if index not in done]


def write_made(folder: Path, index: int, made: Made) -> None:
    """Write a shard and its record.

    Raises:
        OSError: naming the file, as where the disk is full.
    """
    remove_unfinished(folder, index)
    shard = write_shard(folder, index, made.columns)
    (folder / PROGRESS).mkdir(exist_ok=True)
    Record(shard, made.failed, made.backends).create(folder, index)
    state_path(folder, index).unlink(missing_ok=True)


def complete(folder: Path, shards: int) -> Manifest:
    """Write the manifest of a zoo, if its shards are all there; the same one whoever does it.

    Returns:
        The manifest.
    """
    manifest = Manifest.read(folder)
    if not manifest.complete:
        if len(finished(folder, manifest)) < shards:
            return manifest
        try:
            manifest = _completed(manifest, read_records(folder, range(shards)))
            manifest.write(folder, BACKUP)  # first: whoever sees the manifest tidies up
            manifest.write(folder)
        except FileNotFoundError:
            manifest = Manifest.read(folder)
            if not manifest.complete:
                raise  # else the process of another part was faster
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
    """Say in lines to read what a zoo still lacks, if anything, and whose part it is."""
    folder = Path(path)
    done = finished(folder, Manifest.read(folder))
    missing = [index for index in range(shards) if index not in done]
    if not missing or Manifest.read(folder).complete:  # by now, and what was counted is gone
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
