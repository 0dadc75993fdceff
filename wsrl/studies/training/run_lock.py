"""One run, one command: two that train in one folder would mix their checkpoints and curves."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from wsrl.safe_files import check_inside, read_regular
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
    check_inside(run.folder, _LOCK, *run.written())
    with _made(run.folder), _locked(run.folder):
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


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other commands that train there.

    The system releases the lock when the process ends, however it does. On NFS the lock is seen by
    other machines where the mount has locks (not with ``nolock`` or ``local_lock``), and that of a
    machine that died is free when the server has noticed, after about a minute and a half.
    """
    path = folder / _LOCK
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{_holder(path)} trains in {folder} right now: choose another folder (--run DIR), or "
            "end it first"
        ) from None
    try:
        with contextlib.suppress(OSError, ValueError):  # a disk without room for a line, or a pipe
            read_regular(path, 300)
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody else's is deleted
        lock.release()


def _holder(path: Path) -> str:
    """Return who holds a lock, for a message."""
    try:
        return read_regular(path, 300).decode(errors="replace") or "another process"
    except (OSError, ValueError):
        return "another process"
