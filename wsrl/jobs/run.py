"""Run jobs that may need one another, on whatever engine there is."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wsrl.jobs.lock import locked
from wsrl.jobs.progress import JobProgress
from wsrl.jobs.report import listener, listening

_LOOK_SECONDS = 0.2  # at whether this process was told to stop


@dataclass(frozen=True)
class Job:
    """One piece of work. It takes one worker of the engine, with the cores and the GPU it has.

    Attributes:
        name: unique among the jobs that run together.
        function: a function of a module, so that other processes can import it.
        arguments: of the function; they can be pickled.
        needs: names of the jobs that must be done before.
        done: the file that the function writes last. Where it exists the job is done. While the
            job runs, a lock lies beside it: who begins the same job waits, and goes on from what
            was saved.
        kind: what the job is counted as, as ``shards``.
        size: how much work it is, compared with others of its kind.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    needs: tuple[str, ...] = ()
    done: Path | None = None
    kind: str = "jobs"
    size: float = 1.0

    def __call__(self) -> Any:
        """Run the job in this process; return what its function does, ``None`` if it was done."""
        outer = listener()
        with listening(lambda share: outer((self.name, share))):
            if self.done is None:
                return self.function(*self.arguments)
            self.done.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.done.with_name(f"{self.done.name}.lock"), lambda holder: None):
                return None if self.done.exists() else self.function(*self.arguments)


class Engine(Protocol):
    """What runs jobs: an executor of the standard library that knows how many run at once."""

    @property
    def workers(self) -> int:
        """How many jobs run at once, now."""

    def submit(self, function: Callable[[], Any], /) -> Future[Any]:
        """Run a job; what it raises and ``ProcessDiedError`` are the future's exceptions."""


class ProcessDiedError(RuntimeError):
    """The process of a job ended without a result."""


class ProcessToldError(ProcessDiedError):
    """The process of a job was told to end, and may have saved its work."""


class EngineError(ValueError):
    """An engine cannot run jobs: what it is told is wrong, or it has broken down."""


class EngineGoneError(EngineError):
    """The engine went away while it ran jobs."""

    def __init__(self) -> None:
        super().__init__("what runs the jobs has gone: run the same command again to go on")


class Here(Executor):
    """Runs each job at once, in this process; interruptions of a job end the caller."""

    workers = 1

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the job."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run_jobs(
    jobs: Iterable[Job],
    engine: Engine,
    stop: Callable[[], None] = lambda: None,
    ended: Callable[[str, Any, Exception | None], None] = lambda name, result, error: None,
    tries: int = 3,
    quiet: bool = True,
) -> dict[str, Exception]:
    """Run jobs, each after those that it needs; go on when one fails.

    Args:
        jobs: those that are done are left out. A need that is not among them counts as done.
        engine: runs them.
        stop: called between jobs and while they run; raises to end this.
        ended: called for every job that ends with its name, its result, and why it failed, if so.
        tries: how often a job whose process died is begun; one that was told to end does not count.
        quiet: show no progress.

    Returns:
        Why jobs failed, by name. A job whose need failed is left out, and says so.

    Raises:
        ValueError: where names are not unique, or jobs need one another in a circle.
        EngineError: where the engine broke down.

    >>> jobs = [Job("a", int, ("1",)), Job("b", int, ("x",)), Job("c", int, needs=("b",))]
    >>> for name, error in run_jobs(jobs, Here()).items():
    ...     print(name, "-", error)
    b - invalid literal for int() with base 10: 'x'
    c - left out, since b failed
    """
    pending: dict[str, Job] = {}
    for job in jobs:
        if pending.setdefault(job.name, job) is not job:
            raise ValueError(f"two jobs are named {job.name}")
    sizes = {name: (job.kind, job.size) for name, job in pending.items()}
    done = {name for name, job in pending.items() if job.done is not None and job.done.exists()}
    pending = {name: job for name, job in pending.items() if name not in done}
    with JobProgress(sizes, done, quiet) as shown:
        return _run(pending, engine, stop, ended, tries, shown)


def _run(
    pending: dict[str, Job],
    engine: Engine,
    stop: Callable[[], None],
    ended: Callable[[str, Any, Exception | None], None],
    tries: int,
    shown: JobProgress,
) -> dict[str, Exception]:
    running: dict[Future[Any], Job] = {}
    deaths: Counter[str] = Counter()
    failed: dict[str, Exception] = {}

    def end(name: str, result: Any, error: Exception | None) -> None:
        if error is not None:
            failed[name] = error
        shown.end(name)
        ended(name, result, error)

    while pending or running:
        stop()
        unfinished = {*pending, *(job.name for job in running.values())}
        free = engine.workers - len(running)
        for job in list(pending.values()):
            if bad := next((need for need in job.needs if need in failed), None):
                del pending[job.name]
                end(job.name, None, RuntimeError(f"left out, since {bad} failed"))
            elif free > 0 and not unfinished & set(job.needs):
                free -= 1
                running[engine.submit(pending.pop(job.name))] = job
        needed = {need for job in pending.values() for need in job.needs}
        if pending and not running and not needed & failed.keys() and free > 0:
            raise ValueError(f"jobs need one another in a circle: {', '.join(pending)}")
        if not running:  # no worker is there, for now
            time.sleep(_LOOK_SECONDS)
        done, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            job = running.pop(future)
            error = future.exception()
            if isinstance(error, CancelledError):
                raise EngineGoneError
            if isinstance(error, EngineError):
                raise error
            died = isinstance(error, ProcessDiedError)
            if died and not isinstance(error, ProcessToldError):
                deaths[job.name] += 1
            if died and deaths[job.name] < tries:
                pending[job.name] = job
            elif error is None:
                end(job.name, future.result(), None)
            else:
                end(job.name, None, error if isinstance(error, Exception) else RuntimeError(error))
    return failed
