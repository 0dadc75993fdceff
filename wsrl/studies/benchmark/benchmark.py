"""The comparison from its settings to its report."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from wsrl.jobs import locked
from wsrl.resources import visible_gpus
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.checks import check_grid
from wsrl.studies.benchmark.plan import Commands, plan, shown
from wsrl.studies.benchmark.progress import duration
from wsrl.studies.benchmark.record import finished, record_grid
from wsrl.studies.benchmark.running import run_grid
from wsrl.studies.benchmark.settings import BenchmarkSettings
from wsrl.studies.report.writing import write_report
from wsrl.terminal import complain, say

_LOCK = "benchmark.lock"


def run_benchmark(
    settings: BenchmarkSettings,
    out: Path,
    commands: Commands,
    workers: int | None = None,
    stop: StopRequests | None = None,
) -> dict[str, str]:
    """Run the trials of a benchmark that are not done, and write its report.

    Args:
        settings: what is compared.
        out: folder for all it makes.
        commands: run the trials.
        workers: trials that run at once; by default one for each GPU, else for each core.
        stop: notes the signals to this process.

    Returns:
        Why trials failed, by their names.

    Raises:
        ValueError: for settings that make no sense, before any work; naming the process that runs
            the same benchmark.
        KeyboardInterrupt, SystemExit: told to end; the same call goes on.
    """
    stop = StopRequests() if stop is None else stop
    trials, devices = plan(settings, out), visible_gpus()
    workers = (len(devices) or _cores()) if workers is None else workers
    done = finished(out, trials)
    left = [planned for planned in trials if planned.trial.name not in done]
    check_grid(settings, left, out, workers, commands)
    record_grid(out, settings, trials)
    with locked(out / _LOCK, partial(_refuse, out)):
        say(f"{out}: {len(trials)} trials, {len(done)} of them done, {workers} at a time")
        threads = max(1, _cores() // workers)
        stop.at_once = False
        failed = run_grid(out, trials, workers, devices, threads, commands.run, stop)
        say(write_report(out, out))
    total = sum(result.wall_seconds for result in finished(out, trials).values())
    say(f"{len(trials) - len(failed)} of {len(trials)} trials are done; {duration(total)} in all")
    for name, reason in failed.items():
        complain(f"failed: {name}: {reason}")
    return failed


def _refuse(out: Path, holder: str) -> None:
    raise ValueError(f"{holder} runs the benchmark in {out}: wait for it or stop it")


def list_trials(settings: BenchmarkSettings, out: Path) -> str:
    """Return the trials of a benchmark with their commands, to read."""
    lines = []
    for planned in plan(settings, out):
        lines += [planned.trial.name, *(f"  {shown(words)}" for words in planned.commands)]
    return "\n".join(lines)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
