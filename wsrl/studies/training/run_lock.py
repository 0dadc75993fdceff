"""One run, one command: two that train in one folder would mix their checkpoints and curves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wsrl.jobs import locked
from wsrl.safe_files import check_inside
from wsrl.studies.training.runs import Run

_LOCK = "fit.lock"


@contextlib.contextmanager
def own_run(run: Run, goes_on: bool, auto: bool, overwrite: bool) -> Iterator[None]:
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
    check_inside(run.folder, _LOCK, run.checkpoints.name, run.logs.name)
    with _made(run.folder), locked(run.folder / _LOCK, partial(_refuse, run.folder)):
        if run.holds_a_run() and not goes_on and not overwrite and not (auto and run.is_begun()):
            raise ValueError(
                f"{run.folder} holds a run already: go on with it (--ckpt_path last), "
                "choose another folder (--run DIR), or delete what it holds (--overwrite)"
            )
        if overwrite and run.holds_a_run():
            run.clear()
        yield


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder; those that are made for it and stay empty are deleted in the end."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


def _refuse(folder: Path, holder: str) -> None:
    raise ValueError(
        f"{holder} trains in {folder} right now: choose another folder (--run DIR), or end it first"
    )
