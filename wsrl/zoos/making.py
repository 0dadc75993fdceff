"""Make the shards of zoos by jobs, and complete each zoo when all of its shards are there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsrl.jobs import Job, ProcessDiedError, open_engine, run_jobs
from wsrl.stopping import StopRequests
from wsrl.zoos.folder import Part, locked_zoo, open_or_create
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.shards import complete, missing_shards, record_path, shares


@dataclass(frozen=True)
class Making:
    """How one zoo is made.

    Attributes:
        folder: the zoo's; new, empty, or holding this very zoo.
        manifest: of the unfinished zoo.
        sizes: rows, or members, of every shard.
        make: called as ``make(folder, index, *arguments[index])``; writes one shard with
            ``write_finished``.
        arguments: of every shard; they can be pickled.
    """

    folder: Path
    manifest: Manifest
    sizes: Sequence[int]
    make: Callable[..., None]
    arguments: Sequence[tuple[Any, ...]]

    def jobs(self, share: Sequence[int], name: str = "") -> Iterator[Job]:
        """Yield the jobs of a share of the shards; ``name`` says of which of several zoos."""
        for index in share:
            yield Job(
                f"{name} shard {index}".strip(),
                self.make,
                (self.folder, index, *self.arguments[index]),
                done=record_path(self.folder, index),
                kind="shards",
                size=self.sizes[index],
            )


def make_zoos(
    zoos: Sequence[Making],
    *,
    part: Part | None = None,
    workers: int = 1,
    cluster: str | None = None,
    devices: Sequence[str] = (),
    quiet: bool = False,
) -> list[Manifest]:
    """Make the shards of zoos that are missing, or those of a part; see ``build_zoo``.

    All are jobs of one pool, so that no worker waits for a zoo to end.

    Args:
        zoos: how each is made.
        part: shares out the shards of all zoos, one zoo's after the other's.
        workers: jobs that run at once.
        cluster: as of ``open_engine``.
        devices: GPUs of this machine.
        quiet: show no progress.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    starts = [sum(len(zoo.sizes) for zoo in zoos[:index]) for index in range(len(zoos))]
    own = [shares(len(zoo.sizes), part, start) for zoo, start in zip(zoos, starts, strict=True)]
    for zoo in zoos:
        open_or_create(zoo.folder, zoo.manifest)
    with StopRequests(at_once=True), ExitStack() as held:
        locks = [held.enter_context(locked_zoo(zoo.folder, part)) for zoo in zoos]
        names = [zoo.folder.name if len(zoos) > 1 else "" for zoo in zoos]
        of_zoos = list(zip(zoos, own, strict=True))
        missing = [missing_shards(zoo.folder, share) for zoo, share in of_zoos]  # checks the others
        if any(missing):
            jobs = [
                job
                for (zoo, share), name in zip(of_zoos, names, strict=True)
                for job in zoo.jobs(share, name)
            ]
            modules = sorted({zoo.make.__module__ for zoo in zoos})
            with open_engine(workers, cluster, locks[0], devices, modules) as engine:
                run_jobs(jobs, engine, ended=_end_with_the_first_error, quiet=quiet)
        return [complete(zoo.folder, len(zoo.sizes)) for zoo in zoos]


def _end_with_the_first_error(name: str, result: object, error: Exception | None) -> None:
    """A full disk or a bug meets all shards: the others save their states rather than go on."""
    if isinstance(error, ProcessDiedError):
        raise ZooError(f"{name}: {error}; run the same command again to go on") from error
    if error is not None:
        raise error
