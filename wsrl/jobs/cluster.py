"""Jobs on a cluster, by Dask: each in a process of its own beside the worker that has it."""

import asyncio
import contextlib
import functools
import inspect
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from wsrl.jobs.local import LocalPool, run_in
from wsrl.jobs.report import listener
from wsrl.jobs.run import EngineError, EngineGoneError, ProcessDiedError
from wsrl.resources import threads_each
from wsrl.terminal import note

try:
    import dask
    from dask_jobqueue.core import JobQueueCluster
    from distributed import Client, KilledWorker, Worker, WorkerPlugin, get_worker
    from distributed.core import Status
    from distributed.deploy.cluster import Cluster as DaskCluster
    from distributed.protocol.pickle import dumps, loads
except ImportError as missing:
    raise EngineError(
        f"--cluster needs Dask, and {missing.name} is not installed: pip install 'wsrl[cluster]'"
    ) from missing

_CONNECT_SECONDS, _DISK_SECONDS, _LOOK_SECONDS = 20, 10, 0.2
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_GOODBYE_SECONDS = 0.5  # for the scheduler to hear how jobs ended
_WORKERS = ("distributed.cli.dask_worker", "dask.__main__")
"""Main modules of workers: each process imports what its parent began with."""
_ENCRYPTION = "distributed.comm.require-encryption"


class Cluster(Executor):
    """Runs jobs on the workers of a Dask cluster.

    A worker that dies is replaced, and its jobs are begun elsewhere, as the cluster sees to it.
    Leaving the context tells running jobs to end, and waits until they have saved their work.

    Args:
        where: the address of a scheduler (``tls://host:8786``), the file in which it wrote its
            address, or a YAML file that says which cluster to start: ``class_path`` of a subclass
            of ``distributed.deploy.Cluster``, and its ``init_args``.
        workers: how many to start, of a cluster that is started here.
        lock: a lock file that this process holds; workers that do not see it are refused.
        preload: modules that workers import once.

    Raises:
        EngineError: where nobody listens; without TLS, but on this machine; and where workers have
            other versions of wsrl, torch or Python, or another disk.
    """

    def __init__(
        self, where: str, workers: int = 1, lock: Path | None = None, preload: Sequence[str] = ()
    ) -> None:
        self._own: Any = None
        self._client: Any = None
        try:
            self._connect(where, workers)
            self._admit(where, lock, preload)
        except BaseException:
            self.shutdown()
            raise

    @property
    def workers(self) -> int:
        """How many jobs the workers of now can run at once."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError, TimeoutError) as error:
            raise EngineGoneError from error

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a job."""
        future: Future[Any] = Future()

        def pass_on(done: Future[Any]) -> None:
            error = CancelledError() if done.cancelled() else done.exception()
            if isinstance(error, KilledWorker):
                error = ProcessDiedError(str(error))
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)

        with _failing(f"{function!r} cannot be sent to a worker"):
            content: bytes = dumps((function, args, kwargs))  # type: ignore[no-untyped-call]
        sent = self._executor.submit(_run_on_worker, self._name, content)
        sent.add_done_callback(pass_on)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Tell running jobs to end, and wait until they have."""
        if self._client is not None:
            with contextlib.suppress(Exception):  # where the scheduler has gone
                self._client.unregister_worker_plugin(self._name)
            self._client.close()
        if self._own is not None:
            self._own.close()

    def _connect(self, where: str, workers: int) -> None:
        """Find the cluster, or start it, and wait for its first worker."""
        asked, address = _asked(where), where
        if "class_path" in asked:
            self._own = _start(where, asked)
            with _failing(f"--cluster {where}"):
                self._own.sync(_start_workers, self._own, workers)
            self._own.adapt(minimum=workers, maximum=workers)  # replaces those that are lost
            address = self._own.scheduler_address
        elif asked:
            address = str(asked["address"])
        encrypted = dask.config.get(_ENCRYPTION, None)
        if encrypted is None:
            encrypted = urlsplit(address).hostname not in _LOOPBACK
        with dask.config.set({_ENCRYPTION: encrypted}), _failing(f"--cluster {where}"):
            self._client = Client(  # type: ignore[no-untyped-call]
                self._own or address, timeout=_CONNECT_SECONDS
            )
        self._executor = self._client.get_executor(pure=False)
        note([f"cluster at {address}, dashboard {self._client.dashboard_link}"])
        if not self._client.nthreads():
            note([f"no worker is there yet: waiting for one to come to {address}"])
            while not self._client.nthreads():
                time.sleep(_LOOK_SECONDS)

    def _admit(self, where: str, lock: Path | None, preload: Sequence[str]) -> None:
        """Prepare the workers of now and of later; refuse those that cannot do these jobs."""
        self._name = f"wsrl {Path.cwd() if lock is None else lock.resolve()}"
        holder = None if lock is None else lock.read_bytes()
        plugin = JobProcesses(self._name, lock, holder, [*preload])
        self._client.subscribe_topic(self._name, lambda event: listener()(event[1]))
        with _failing(f"--cluster {where}: a worker cannot run these jobs"):
            self._client.register_plugin(plugin, self._name)


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
        self._folder, self._path, self._versions = Path.cwd(), sys.path, _versions()
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
        found = _versions()
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


def _run_on_worker(name: str, content: bytes) -> Any:
    plugin: Any = get_worker().plugins[name]
    return plugin.run(content)


def _versions() -> dict[str, str]:
    """Return what must be the same for results to be the same."""
    packages = {name: version(name).partition("+")[0] for name in ("wsrl", "torch")}
    return packages | {"Python": ".".join(python_version().split(".")[:2])}


def _holds(path: Path, content: bytes | None) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == content
    return False


def _asked(where: str) -> dict[str, Any]:
    """Return what the file of a cluster says; nothing for an address."""
    if "://" in where:
        return {}
    with _failing(f"--cluster {where}"):
        content = next(iter(dask.config.collect_yaml([where])), None)
    if content is None:
        raise EngineError(
            f"--cluster {where} is no address (as tls://host:8786) and no file that can be read"
        )
    if not content.keys() & {"class_path", "address"}:
        raise EngineError(
            f"{where} says neither which cluster to start (class_path, init_args) nor, as a "
            "scheduler file does, the address of one"
        )
    return content


def _start(where: str, asked: dict[str, Any]) -> Any:
    """Start the cluster that a file describes, as suits these jobs where it says nothing."""
    module, _, name = str(asked["class_path"]).rpartition(".")
    with _failing(f"--cluster {where}"):
        cls = getattr(import_module(module), name)
        if not (isinstance(cls, type) and issubclass(cls, DaskCluster)):
            raise ValueError(f"{asked['class_path']} is no subclass of distributed.deploy.Cluster")
        dask.config.set({"distributed.worker.daemon": False})  # its workers start processes
        logging.getLogger("tornado.application").addFilter(_in_one_line)
        options: dict[str, Any] = {}
        if "security" in inspect.signature(cls).parameters:
            options["security"] = True
        if issubclass(cls, JobQueueCluster):  # a scheduler's signals are for a job's first process
            options |= {"nanny": False, "python": f"exec {sys.executable}"}
        options |= asked.get("init_args", {})
        if keys := options.get("shared_temp_directory"):
            Path(keys).mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(**options)


async def _start_workers(own: Any, workers: int) -> None:
    """Start workers, or submit them; raises what ``sbatch`` and its like have against it."""
    asked = own.scale(workers)
    if inspect.isawaitable(asked):
        await asked
    await own.__aenter__()  # waits for them


def _in_one_line(record: logging.LogRecord) -> bool:
    """Say what failed in the background, as where SLURM takes no more workers; no traceback."""
    if record.exc_info:
        note([f"cluster: {_reason(record.exc_info[1])}"])
    return not record.exc_info


def _reason(error: BaseException | None) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Say in one line what is wrong, as libraries say it."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # of many libraries
        reason = _reason(error)
        if "encryption required" in reason:
            reason = (
                "it uses no TLS, and whoever reaches its port could run code as you: start it with "
                "keys (tls://), or set DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=False"
            )
        raise EngineError(f"{what}: {reason}") from error
