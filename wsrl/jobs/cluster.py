"""Jobs on a cluster, by Dask: each in a process of its own beside the worker that has it."""

import contextlib
import inspect
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsrl.jobs.report import listener
from wsrl.jobs.run import EngineError, EngineGoneError, ProcessDiedError
from wsrl.terminal import note

try:
    import dask
    from distributed import Client, KilledWorker
    from distributed.deploy.cluster import Cluster as DaskCluster
    from distributed.protocol.pickle import dumps

    from wsrl.jobs.worker import JobProcesses, run_on_worker
except ImportError as missing:
    raise EngineError(
        f"--cluster needs Dask, and {missing.name} is not installed: pip install 'wsrl[cluster]'"
    ) from missing

_CONNECT_SECONDS, _LOOK_SECONDS = 20, 0.2
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ENCRYPTION = "distributed.comm.require-encryption"
_MEANINGS = {
    "encryption required": "it uses no TLS, and whoever reaches its port could run code as you: "
    "start it with keys (tls://), or set DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=False",
    "ssl_context": "it uses TLS, and no keys are named here: set "
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT and ...__CLIENT__KEY",
}
"""What some of Dask's messages mean, by a part of them."""


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
        EngineError: where nobody listens; for a scheduler of another machine without TLS; and where
            workers have other versions of wsrl, torch or Python, or another disk.
    """

    def __init__(
        self, where: str, workers: int = 1, lock: Path | None = None, preload: Sequence[str] = ()
    ) -> None:
        self._name = f"wsrl {Path.cwd() if lock is None else lock.resolve()}"
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
        sent = self._executor.submit(run_on_worker, self._name, content)
        sent.add_done_callback(pass_on)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Tell running jobs to end, and wait until they have."""
        with contextlib.ExitStack() as closing:  # also where it is interrupted
            if self._own is not None:
                closing.callback(self._own.close)
            if self._client is not None:
                closing.callback(self._client.close)
                with contextlib.suppress(Exception):  # where the scheduler has gone
                    self._client.unregister_worker_plugin(self._name)

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
        holder = None if lock is None else lock.read_bytes()
        plugin = JobProcesses(self._name, lock, holder, [*preload])
        self._client.subscribe_topic(self._name, lambda event: listener()(event[1]))
        with _failing(f"--cluster {where}: a worker cannot run these jobs"):
            self._client.register_plugin(plugin, self._name)


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
        before = signal.getsignal(signal.SIGINT)
        cls = getattr(import_module(module), name)
        signal.signal(signal.SIGINT, before)  # dask-jobqueue, when imported, has Ctrl-C exit with 0
        if not (isinstance(cls, type) and issubclass(cls, DaskCluster)):
            raise ValueError(f"{asked['class_path']} is no subclass of distributed.deploy.Cluster")
        dask.config.set({"distributed.worker.daemon": False})  # its workers start processes
        logging.getLogger("tornado.application").addFilter(_in_one_line)
        options: dict[str, Any] = {}
        if "security" in inspect.signature(cls).parameters:
            options["security"] = True
        if hasattr(cls, "job_cls"):  # a job of SLURM, PBS, ...: its first process gets the signals
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
        for sign, meaning in _MEANINGS.items():
            reason = meaning if sign in reason else reason
        raise EngineError(f"{what}: {reason}") from error
