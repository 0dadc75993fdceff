"""Run jobs that may need one another, on whatever engine there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from wsrl.jobs.local import LocalPool, ProcessDiedError

_LOOK_SECONDS = 0.2  # at whether this process was told to stop
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: unique among the jobs that run together.
        function: a function of a module, so that other processes can import it.
        arguments: of the function; they can be pickled.
        needs: names of the jobs that must be done before.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()


class Here(Executor):
    """Runs each job at once, in this process; interruptions of a job end the caller."""

    workers = 1

    def submit(
        self, function: Callable[..., _Result], /, *args: Any, **kwargs: Any
    ) -> Future[_Result]:
        """Run the job."""
        future: Future[_Result] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


Engine: TypeAlias = Here | LocalPool
"""An executor of the standard library that knows how many jobs it runs at once."""


def run_jobs(
    jobs: Iterable[Job],
    engine: Engine,
    stop: Callable[[], None] = lambda: None,
    ended: Callable[[str, Any, Exception | None], None] = lambda name, result, error: None,
    tries: int = 3,
) -> dict[str, Exception]:
    """Run jobs, each after those that it needs; go on when one fails.

    Args:
        jobs: those that are not done yet. A need that is not among them counts as done.
        engine: runs them.
        stop: called between jobs and while they run; raises to end this.
        ended: called for every job that ends with its name, its result, and why it failed, if so.
        tries: how often a job whose process died is begun.

    Returns:
        Why jobs failed, by name. A job whose need failed is left out, and says so.

    Raises:
        ValueError: where names are not unique, or jobs need one another in a circle.

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
    running: dict[Future[Any], Job] = {}
    begun: dict[str, int] = {}
    failed: dict[str, Exception] = {}

    def end(name: str, result: Any, error: Exception | None) -> None:
        if error is not None:
            failed[name] = error
        ended(name, result, error)

    while pending or running:
        stop()
        unfinished = {*pending, *(job.name for job in running.values())}
        for job in list(pending.values()):
            if bad := next((need for need in job.needs if need in failed), None):
                del pending[job.name]
                end(job.name, None, RuntimeError(f"left out, since {bad} failed"))
            elif len(running) < engine.workers and not unfinished & set(job.needs):
                del pending[job.name]
                begun[job.name] = begun.get(job.name, 0) + 1
                running[engine.submit(job.function, *job.arguments)] = job
        needed = {need for job in pending.values() for need in job.needs}
        if pending and not running and not needed & failed.keys():
            raise ValueError(f"jobs need one another in a circle: {', '.join(pending)}")
        done, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            job, error = running.pop(future), future.exception()
            if isinstance(error, ProcessDiedError) and begun[job.name] < tries:
                pending[job.name] = job
            elif error is None:
                end(job.name, future.result(), None)
            else:
                end(job.name, None, error if isinstance(error, Exception) else RuntimeError(error))
    return failed
