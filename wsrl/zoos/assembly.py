"""Make a zoo shard by shard, in as many processes as there are, on any machines that share a disk.

Every process does the same: it takes the next shard that is neither finished nor another's, makes
it, records it, and in the end waits until the zoo is complete. Whoever sees all the records writes
the manifest. Processes communicate through the zoo's folder alone, so a process may die at any
moment, and others may join.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from wsrl.stopping import StopRequests
from wsrl.zoos.leases import Lease, LeaseLostError, Leases, Standing
from wsrl.zoos.manifest import BACKUP, Manifest
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

POLL_SECONDS = 0.5
"""How often a process that waits for others looks."""

Part: TypeAlias = tuple[int, int]
"""``(i, n)``: the ``i``-th of ``n`` shares of the shards, from 1."""


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


Make: TypeAlias = Callable[[int, Lease], Made]
"""Makes the shard of a number. It ends with what ``StopRequests`` raises when it is told to stop,
and may end with ``LeaseLostError``; what is not lost then lies in its ``state_path``."""


def assemble(
    folder: Path,
    shards: int,
    make: Make,
    stop: StopRequests,
    part: Part | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Manifest:
    """Make the shards that are missing, and complete the zoo.

    Args:
        folder: the zoo's, with its manifest.
        shards: how many there will be.
        make: makes one.
        stop: the signals that end this between two shards, or while it waits; and at once, if it
            is so, before the first one.
        part: make only this share, and leave the others to others.
        waiting: called now and then while others work.

    Returns:
        The manifest: of a complete zoo, unless the rest is others' share.

    Raises:
        ZooError: where a finished shard or its record is damaged.
        OSError: naming the file, as where the disk is full.
    """
    manifest = Manifest.read(folder)
    share = shares(shards, part)
    check_finished(folder, manifest, share)  # before more is made on top of a damaged file
    stop.at_once = False  # from now on there is something to lose
    leases = Leases(folder / PROGRESS)
    while not manifest.complete:
        stop.raise_if_any()
        (folder / PROGRESS).mkdir(exist_ok=True)
        done = finished(folder, manifest)
        if len(done) == shards:
            _complete(folder, manifest, shards)
        else:
            standings = leases.survey(f"{i:05d}" for i in share if i not in done)
            if part is not None and all(s.alive for s in standings.values()):
                return manifest  # nothing is left to this process
            if not any(_attempt(folder, int(n), leases, s, make) for n, s in standings.items()):
                waiting()
                time.sleep(POLL_SECONDS)
        manifest = Manifest.read(folder)
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


def check_finished(folder: Path, manifest: Manifest, which: Sequence[int]) -> None:
    """Check the finished ones of some shards against their checksums.

    Raises:
        ZooError: naming the files that are missing or damaged.
    """
    done = finished(folder, manifest)
    ours = [index for index in which if index in done]
    try:
        if manifest.complete:
            shards = [manifest.shards[index] for index in ours]
        else:
            shards = [record.shard for record in read_records(folder, ours).values()]
    except FileNotFoundError:
        if not (manifest := Manifest.read(folder)).complete:
            raise
        shards = manifest.shards  # completed meanwhile
    check_shards(folder, shards)


def whats_left(path: str | Path, shards: int, parts: int) -> list[str]:
    """Return lines that say which shards a zoo lacks and which part they belong to."""
    folder = Path(path)
    done = finished(folder, Manifest.read(folder))
    missing = [index for index in range(shards) if index not in done]
    if not missing or Manifest.read(folder).complete:  # by now, and what was counted is gone
        return []
    lines = [f"{len(missing)} of {shards} shards are missing"]
    standings = Leases(folder / PROGRESS).survey(f"{index:05d}" for index in missing)
    for which in sorted({index % parts for index in missing}):
        of_part = [index for index in missing if index % parts == which]
        makers = [str(s.holder) for i in of_part if (s := standings[f"{i:05d}"]).alive]
        line = f"{len(of_part)} of part {which + 1}/{parts}"
        lines.append(line + (f", in the making by {', '.join(makers)}" if makers else ""))
    return lines


def _attempt(folder: Path, index: int, leases: Leases, standing: Standing, make: Make) -> bool:
    """Make a shard, if it can be had; return whether to look anew at what is left."""
    if not standing.free:
        return False
    try:
        lease = leases.take(f"{index:05d}", standing)
    except FileNotFoundError:
        return folder.is_dir()  # the zoo has been completed, and tidied up
    if lease is None:
        return False
    with lease:
        manifest = Manifest.read(folder)
        if manifest.complete or index in finished(folder, manifest):
            return True

        def check() -> None:
            lease.check()
            if index in finished(folder, manifest):
                raise LeaseLostError(f"a predecessor recorded shard {index} at the last moment")

        try:
            remove_unfinished(folder, index)
            made = make(index, lease)
            check()
            shard = write_shard(folder, index, made.columns, check)
            check()
            Record(shard, made.failed, made.backends).create(folder, index)
            state_path(folder, index).unlink(missing_ok=True)
        except LeaseLostError:
            pass
        except OSError:
            with contextlib.suppress(LeaseLostError):
                lease.check()  # a successor removes what is left of its predecessor
                raise
    return True


def _complete(folder: Path, manifest: Manifest, shards: int) -> None:
    """Write the manifest of a zoo whose shards are all there; every process writes the same one."""
    try:
        complete = _completed(manifest, read_records(folder, range(shards)))
        complete.write(folder, BACKUP)  # first: a process that sees the manifest tidies up
        complete.write(folder)
    except FileNotFoundError:
        if not Manifest.read(folder).complete:
            raise
        # Another process was faster, and has tidied up what this one was reading or writing.


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
