"""The comparison from its settings to its report: its trials, several at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import mean

from wsrl._process import named_modules
from wsrl.jobs import Job, LocalPool, ProcessDiedError, locked, run_jobs
from wsrl.resources import visible_gpus
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.checks import check_grid
from wsrl.studies.benchmark.plan import PlannedTrial, Read, Run, plan, shown
from wsrl.studies.benchmark.record import record_grid
from wsrl.studies.benchmark.results import RESULT, TRIALS, Result, read_result, write_result
from wsrl.studies.benchmark.settings import BenchmarkSettings
from wsrl.studies.benchmark.work import LOG, run_trial
from wsrl.studies.report.writing import write_report
from wsrl.terminal import complain, say

_LOCK = "benchmark.lock"
_PRELOADED = ("wsrl.studies.training.command", "wsrl.studies.baselines", run_trial.__module__)
"""Imported once rather than by every trial, for which it would take seconds."""
_TRIES = 2  # of a trial whose process died, as for lack of memory beside others


def run_benchmark(
    settings: BenchmarkSettings,
    out: Path,
    read: Read,
    run: Run,
    workers: int | None = None,
    stop: StopRequests | None = None,
) -> dict[str, str]:
    """Run the trials of a benchmark that are not done, and write its report.

    Args:
        settings: what is compared.
        out: folder for all it makes.
        read: reads a command of a trial.
        run: runs one.
        workers: trials that run at once; by default one for each GPU, else for each core.
        stop: notes the signals to this process.

    Returns:
        Why trials failed, by their names.

    Raises:
        ValueError: for settings that make no sense, before any work; naming the process that runs
            the same benchmark.
        KeyboardInterrupt, SystemExit: told to end; the trials that ran have saved their work, and
            the same call goes on.
    """
    stop = StopRequests() if stop is None else stop
    trials, devices = plan(settings, out), visible_gpus()
    workers = (len(devices) or _cores()) if workers is None else workers
    done = finished(out, trials)
    left = [planned for planned in trials if planned.trial.name not in done]
    check_grid(settings, left, out, read)
    record_grid(out, settings, trials)
    with locked(out / _LOCK, partial(_refuse, out)):
        say(f"{out}: {len(trials)} trials, {len(done)} of them done, {workers} at a time")
        threads = max(1, _cores() // workers)
        stop.at_once = False
        failed = run_grid(out, trials, workers, devices, threads, run, stop)
        say(write_report(out, out))
    total = sum(result.wall_seconds for result in finished(out, trials).values())
    say(f"{len(trials) - len(failed)} of {len(trials)} trials are done; {_time(total)} in all")
    for name, reason in failed.items():
        complain(f"failed: {name}: {reason}")
    return failed


def list_trials(settings: BenchmarkSettings, out: Path) -> str:
    """Return the trials of a benchmark with their commands, to read."""
    lines = []
    for planned in plan(settings, out):
        commands = (shown(words, named_modules) for words in planned.commands)
        lines += [planned.trial.name, *(f"  {command}" for command in commands)]
    return "\n".join(lines)


def finished(out: Path, trials: Iterable[PlannedTrial]) -> dict[str, Result]:
    """Return the results of those trials that ended well, by name.

    Raises:
        ValueError: naming a result that is damaged.
    """
    paths = {planned.trial.name: out / TRIALS / planned.trial.name / RESULT for planned in trials}
    results = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    return {name: result for name, result in results.items() if result.error is None}


def run_grid(
    out: Path,
    trials: Sequence[PlannedTrial],
    workers: int,
    devices: Sequence[str],
    threads: int,
    command: Run,
    stop: StopRequests,
) -> dict[str, str]:
    """Run trials until all are done, failed, or left out since they need one that failed.

    A trial that failed is tried again by the next command. Returned is why, by name. ``devices``
    are the numbers of the GPUs to deal out, none for CPUs; ``threads`` those of every worker.
    """
    kinds = {planned.trial.name: planned.trial.kind for planned in trials}
    seconds = {name: result.wall_seconds for name, result in finished(out, trials).items()}
    left = {planned.trial.name: planned for planned in trials if planned.trial.name not in seconds}
    failed: dict[str, str] = {}

    def ended(name: str, result: Result | None, error: Exception | None) -> None:
        if result is not None:
            seconds[name] = result.wall_seconds
            how = f"done in {_time(result.wall_seconds)}"
        else:
            failed[name] = str(error)
            if isinstance(error, ProcessDiedError):
                folder = out / TRIALS / name
                failed[name] += f"; see {folder / LOG}"
                write_result(folder, Result(left[name].trial, error=failed[name]))
            how = f"FAILED: {failed[name]}"
        through = len(seconds) + len(failed)
        open_ones = [kinds[name] for name in kinds.keys() - seconds.keys() - failed.keys()]
        rest = time_left(open_ones, [(kinds[name], taken) for name, taken in seconds.items()])
        soon = f"; {_time(rest / workers)} left" if rest else ""
        say(f"[{through:{len(str(len(kinds)))}}/{len(kinds)}] {name}: {how}{soon}")

    jobs = [
        Job(name, run_trial, (planned, out, command, tuple(named_modules)), planned.needs)
        for name, planned in left.items()
    ]
    with LocalPool(workers, devices, threads, (*_PRELOADED, command.__module__)) as pool:
        run_jobs(jobs, pool, stop.raise_if_any, ended, _TRIES)
    return failed


def time_left(left: Iterable[str], taken: Sequence[tuple[str, float]]) -> float:
    """Return the seconds that trials of these kinds take, if they do as those of a kind have.

    >>> time_left(["zoo", "zoo"], [("zoo", 2.0), ("zoo", 4.0), ("baseline", 1.0)])
    6.0
    """
    total = 0.0
    for kind, count in Counter(left).items():
        alike = [seconds for other, seconds in taken if other == kind]
        total += count * mean(alike or [seconds for _, seconds in taken] or [0.0])
    return total


def _refuse(out: Path, holder: str) -> None:
    raise ValueError(f"{holder} runs the benchmark in {out}: wait for it or stop it")


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
