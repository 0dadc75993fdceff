"""Run the trials of a grid, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wsrl._process import named_modules
from wsrl.jobs import Job, LocalPool, ProcessDiedError, run_jobs
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.plan import PlannedTrial, Words
from wsrl.studies.benchmark.progress import Progress
from wsrl.studies.benchmark.record import finished
from wsrl.studies.benchmark.results import TRIALS, Result, write_result
from wsrl.studies.benchmark.work import LOG, run_trial

_PRELOADED = ("wsrl.studies.training.command", "wsrl.studies.baselines", run_trial.__module__)
"""Imported once rather than by every trial, for which it would take seconds."""

_TRIES = 2  # of a trial whose process died, as for lack of memory beside others


def run_grid(
    out: Path,
    trials: Sequence[PlannedTrial],
    workers: int,
    devices: Sequence[str],
    threads: int,
    command: Callable[[Words], int],
    stop: StopRequests,
) -> dict[str, str]:
    """Run trials until all are done, failed, or left out since they need one that failed.

    A trial that failed is tried again by the next command.

    Args:
        out: the benchmark's folder.
        trials: in the order in which they are taken.
        workers: trials that run at once.
        devices: numbers of the GPUs to deal out; none for CPUs.
        threads: of every worker.
        command: runs a command by its words.
        stop: the signals that end this.

    Returns:
        Why those that failed did, by name.

    Raises:
        KeyboardInterrupt, SystemExit: told to end; the trials that ran have saved their work.
    """
    progress = Progress([planned.trial for planned in trials], workers)
    done = finished(out, trials)
    progress.seconds |= {name: result.wall_seconds for name, result in done.items()}
    left = {planned.trial.name: planned for planned in trials if planned.trial.name not in done}
    jobs = [
        Job(name, run_trial, (planned, out, command, tuple(named_modules)), planned.needs)
        for name, planned in left.items()
    ]

    def ended(name: str, result: Result | None, error: Exception | None) -> None:
        if result is not None:
            progress.done(name, result.wall_seconds)
            return
        reason = str(error)
        if isinstance(error, ProcessDiedError):
            folder = out / TRIALS / name
            reason = f"{reason}; see {folder / LOG}"
            write_result(folder, Result(left[name].trial, error=reason))
        progress.fail(name, reason)

    with LocalPool(workers, devices, threads, (*_PRELOADED, command.__module__)) as pool:
        run_jobs(jobs, pool, stop.raise_if_any, ended, _TRIES)
    return progress.failed
