"""One run, one command: two that train in one folder would mix their checkpoints and curves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from wsrl.safe_files import check_inside
from wsrl.studies.training.checkpoint_io import check_writable, made
from wsrl.studies.training.runs import Run
from wsrl.terminal import note
from wsrl.zoos.leases import Lease, Standing
from wsrl.zoos.sole import sole

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
        yield lease


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[Lease]:
    """Hold a folder; its lease is as a shard's of a zoo, so it does not outlive its process."""
    said: list[bool] = []

    def busy(standing: Standing) -> None:
        if standing.alive:
            raise ValueError(
                f"{standing.holder} trains in {folder} right now: choose another folder "
                "(--run DIR), or end it first"
            )
        if not said:
            note([f"{standing.holder} trained in {folder}: watching for a minute if it still does"])
            said.append(True)

    with made(folder), sole(folder, _NAME, busy) as lease:
        yield lease
