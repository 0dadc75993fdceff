"""What a Dask worker does for a command: it runs the command's jobs in processes of their own."""

import asyncio
import contextlib
import functools
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import FrameType
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker
from distributed.core import Status
from distributed.protocol.pickle import loads

from wsrl.jobs.local import LocalPool, run_in
from wsrl.jobs.run import EngineError
from wsrl.resources import threads_each

_DISK_SECONDS, _LOOK_SECONDS = 10, 0.2
_GOODBYE_SECONDS = 0.5  # for the scheduler to hear how jobs ended
_WORKERS = ("distributed.cli.dask_worker", "dask.__main__")
"""Main modules of workers: each process imports what its parent began with."""


class JobProcesses(WorkerPlugin):
    """Has a worker run jobs in processes of their own, where it is one that can.

    Args:
        name: of the plugin; that of an earlier command for the same work is replaced, and jobs
            that still run for it are told to end.
        lock: a file that the worker must see.
        holder: what is in it.
        preload: modules that processes import once.
    """

    def __init__(self, name: str, lock: Path | None, holder: bytes | None, preload: list[str]):
        self.name, self._preload, self._holder = name, preload, holder
        self._lock = None if lock is None else lock.resolve()
        self._folder, self._path, self._versions = Path.cwd(), sys.path, versions()
        self.problem: str | None = None

    def setup(self, worker: Worker) -> None:
        """Check the worker, and prepare it."""
        if problem := self._find_problem():
            self.problem = f"the worker {worker.name} on {socket.gethostname()} {problem}"
            raise EngineError(self.problem)
        sys.path += [place for place in self._path if place not in sys.path]
        slots = worker.state.nthreads
        hear = functools.partial(worker.log_event, self.name)
        preload = [*self._preload, *_WORKERS]
        self._pool, self._worker = LocalPool(slots, (), threads_each(slots), preload, hear), worker
        if threading.current_thread() is threading.main_thread():
            self._closing, self._before = False, signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Have jobs save their work before the worker goes; told again, it goes at once.

        SLURM kills all else when the worker has gone, and a worker that goes by itself counts its
        jobs as failed.
        """
        if self._closing:
            signal.signal(signal.SIGTERM, self._before)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self._closing = True
        self._worker.status = Status.closing_gracefully  # takes no more jobs
        threading.Thread(target=self._leave).start()

    def _leave(self) -> None:
        self._pool.shutdown()
        time.sleep(_GOODBYE_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    async def teardown(self, worker: Worker) -> None:
        """Tell running jobs to end."""
        if signal.getsignal(signal.SIGTERM) == self._end:
            signal.signal(signal.SIGTERM, self._before)  # or handlers of all commands would add up
        if self.problem is None:
            await asyncio.to_thread(self._pool.shutdown)

    def run(self, content: bytes) -> Any:
        """Run a job in a process of its own, in the folder in which the command works."""
        if self.problem is not None:
            raise EngineError(self.problem)
        return self._pool.submit(run_in, self._folder, *loads(content)).result()  # type: ignore[no-untyped-call]

    def _find_problem(self) -> str | None:
        found = versions()
        if found != self._versions:
            different = [name for name in found if found[name] != self._versions[name]]
            return "has " + ", ".join(
                f"{name} {found[name]} where this command has {self._versions[name]}"
                for name in different
            )
        if multiprocessing.current_process().daemon:
            return (
                "has a nanny and cannot start processes: start it with --no-nanny, or set "
                "DASK_DISTRIBUTED__WORKER__DAEMON=False"
            )
        if not self._folder.is_dir():
            return f"has no folder {self._folder}, in which this command works: is the disk shared?"
        end = time.monotonic() + _DISK_SECONDS
        while self._lock is not None and not _holds(self._lock, self._holder):
            if time.monotonic() > end:  # what others write may take some seconds to be seen
                return f"does not see {self._lock}: is the disk shared?"
            time.sleep(_LOOK_SECONDS)
        return None


def run_on_worker(name: str, content: bytes) -> Any:
    """Run a job that ``Cluster.submit`` has made bytes of, on the worker that calls this."""
    plugin: Any = get_worker().plugins[name]
    return plugin.run(content)


def versions() -> dict[str, str]:
    """Return what must be the same for results to be the same."""
    packages = {name: version(name).partition("+")[0] for name in ("wsrl", "torch")}
    return packages | {"Python": ".".join(python_version().split(".")[:2])}


def _holds(path: Path, content: bytes | None) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == content
    return False
