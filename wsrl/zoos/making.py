"""Make the shards of a zoo by jobs, and complete the zoo when all are there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wsrl.jobs import Job, ProcessDiedError, open_engine, run_jobs
from wsrl.stopping import StopRequests
from wsrl.zoos.folder import Part, locked_zoo, open_or_create
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.shards import complete, missing_shards, record_path, shares


def make_shards(
    folder: Path,
    manifest: Manifest,
    sizes: Sequence[int],
    make: Callable[..., None],
    arguments: Sequence[tuple[Any, ...]],
    *,
    part: Part | None = None,
    workers: int = 1,
    cluster: str | None = None,
    devices: Sequence[str] = (),
    quiet: bool = False,
) -> Manifest:
    """Make the shards of a zoo that are missing, or those of a part; see ``build_zoo``.

    Args:
        folder: the zoo's; new, empty, or holding this very zoo.
        manifest: of the unfinished zoo.
        sizes: rows, or members, of every shard.
        make: called as ``make(folder, index, *arguments[index])``; writes one shard with
            ``write_finished``.
        arguments: of every shard; they can be pickled.
        part: shares out the shards.
        workers: jobs that run at once.
        cluster: as of ``open_engine``.
        devices: GPUs of this machine.
        quiet: show no progress.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    share = shares(len(sizes), part)
    open_or_create(folder, manifest)
    with StopRequests(at_once=True), locked_zoo(folder, part) as lock:
        jobs = [
            Job(
                f"shard {index}",
                make,
                (folder, index, *arguments[index]),
                done=record_path(folder, index),
                kind="shards",
                size=sizes[index],
            )
            for index in share
        ]
        if missing_shards(folder, len(sizes), part):
            with open_engine(workers, cluster, lock, devices, [make.__module__]) as engine:
                run_jobs(jobs, engine, ended=_end_with_the_first_error, quiet=quiet)
        return complete(folder, len(sizes))


def _end_with_the_first_error(name: str, result: object, error: Exception | None) -> None:
    """A full disk or a bug meets all shards: the others save their states rather than go on."""
    if isinstance(error, ProcessDiedError):
        raise ZooError(f"{name}: {error}; run the same command again to go on") from error
    if error is not None:
        raise error
