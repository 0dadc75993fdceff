"""One run, one command: two that train in one folder would mix their checkpoints and curves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from wsrl.safe_files import check_inside
from wsrl.studies.checkpoint_io import check_writable, made, remove_partial
from wsrl.studies.messages import note
from wsrl.studies.runs import Run
from wsrl.zoos.leases import Lease, Leases

_NAME = "fit"


@contextlib.contextmanager
def own_run(run: Run, goes_on: bool, auto: bool, overwrite: bool) -> Iterator[Lease]:
    """Have a run's folder for one command, ready to be written.

    Args:
        run: the run.
        goes_on: whether the command goes on with what the folder holds.
        auto: whether it does so if there is something to go on with.
        overwrite: whether it deletes what the folder holds.

    Raises:
        ValueError: where another command trains there, it holds another run, or a link in it leads
            out of it.
        OSError: naming the folder, where it cannot be written.
    """
    if overwrite and (auto or goes_on):
        raise ValueError(
            "--overwrite deletes the run that --ckpt_path goes on with: leave one of them out"
        )
    check_inside(run.folder, *run.written())
    check_writable(run.folder)
    with _held(run.folder) as lease:
        if run.holds_a_run() and not goes_on and not overwrite and not (auto and run.is_begun()):
            raise ValueError(
                f"{run.folder} holds a run already: go on with it (--ckpt_path last), "
                "choose another folder (--run DIR), or delete what it holds (--overwrite)"
            )
        if overwrite and run.holds_a_run():
            run.clear()
        if run.checkpoints.exists():
            check_writable(run.checkpoints)
            remove_partial(run.checkpoints)
        yield lease


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[Lease]:
    """Hold a folder; its lease is as a shard's of a zoo, so it does not outlive its process."""
    with made(folder):
        lease = _take(folder)
        try:
            with lease:
                yield lease
        finally:
            for path in [] if lease.lost else folder.glob(f"{_NAME}.lease.*"):
                path.unlink(missing_ok=True)


def _take(folder: Path) -> Lease:
    """Take the lease, once it is known that nobody holds it: of other machines after a minute."""
    leases, said = Leases(folder), False
    while True:
        standing = leases.survey([_NAME])[_NAME]
        if standing.alive:
            raise ValueError(
                f"{standing.holder} trains in {folder} right now: choose another folder "
                "(--run DIR), or end it first"
            )
        if standing.free and (lease := leases.take(_NAME, standing)) is not None:
            return lease
        if not said and not standing.free:
            note([f"{standing.holder} trained in {folder}: watching for a minute if it still does"])
            said = True
        time.sleep(0.5)
