"""The comparison from its settings to its report: its trials, several at once."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from wsrl._process import named_modules
from wsrl.jobs import Engine, Job, ProcessDiedError, locked, open_engine, run_jobs
from wsrl.resources import usable_cores, visible_gpus
from wsrl.stopping import StopRequests
from wsrl.strict_json import to_json
from wsrl.studies.benchmark.checks import check_grid
from wsrl.studies.benchmark.plan import PlannedTrial, Read, Run, plan, shown
from wsrl.studies.benchmark.record import LOCK, record_grid
from wsrl.studies.benchmark.results import RESULT, TRIALS, Result, read_result, write_result
from wsrl.studies.benchmark.settings import BenchmarkSettings
from wsrl.studies.benchmark.work import LOG, check_place, run_trial
from wsrl.studies.report.writing import write_report
from wsrl.terminal import complain, say

_PRELOADED = ("wsrl.studies.training.command", "wsrl.studies.baselines", run_trial.__module__)
"""Imported once rather than by every trial, for which it would take seconds."""
_TRIES = 2  # of a trial whose process died, as for lack of memory beside others


def run_benchmark(
    settings: BenchmarkSettings,
    out: Path,
    read: Read,
    run: Run,
    workers: int | None = None,
    cluster: str | None = None,
    stop: StopRequests | None = None,
) -> dict[str, str]:
    """Run the trials of a benchmark that are not done, and write its report.

    Args:
        settings: what is compared.
        out: folder for all it makes.
        read: reads a command of a trial.
        run: runs one.
        workers: trials that run at once; by default one for each GPU, else for each core. Of a
            cluster that is started, its workers; by default one.
        cluster: what runs the trials instead of this machine, as of ``build_zoo``.
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
    if workers is None:
        workers = 1 if cluster is not None else len(devices) or usable_cores()
    done = finished(out, trials)
    left = [planned for planned in trials if planned.trial.name not in done]
    check_grid(settings, left, out, read)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK, partial(_refuse, out)):
        record_grid(out, settings, trials)
        where = f"{workers} at a time" if cluster is None else f"on {cluster}"
        say(f"{out}: {len(trials)} trials, {len(done)} of them done, {where}")
        preload = (*_PRELOADED, run.__module__)
        with open_engine(workers, cluster, out / LOCK, devices, preload, here=False) as engine:
            stop.at_once = False  # from now on trials save their work
            failed = run_grid(out, trials, engine, run, stop)
        say(write_report(out, out))
    total = sum(result.wall_seconds for result in finished(out, trials).values())
    say(f"{len(trials) - len(failed)} of {len(trials)} trials are done; {_time(total)} in all")
    for name, reason in failed.items():
        complain(f"failed: {name}: {reason}")
    return failed


def show_plan(settings: BenchmarkSettings, out: Path, form: Literal["table", "json"]) -> str:
    """Return what a benchmark would run, to read or as JSON.

    Of each trial these are its kind, what it needs, whether it is done, the hours it took or will
    take if it does as those of its kind have (``None`` where none is done), and its commands.
    """
    trials = plan(settings, out)
    taken = {name: result.wall_seconds / 3600 for name, result in finished(out, trials).items()}
    by_kind: dict[str, list[float]] = {}
    for planned in trials:
        if planned.trial.name in taken:
            by_kind.setdefault(planned.trial.kind, []).append(taken[planned.trial.name])
    usual = {kind: sum(hours) / len(hours) for kind, hours in by_kind.items()}
    rows = [
        {
            "trial": planned.trial.name,
            "kind": planned.trial.kind,
            "needs": planned.needs,
            "done": planned.trial.name in taken,
            "hours": taken.get(planned.trial.name, usual.get(planned.trial.kind)),
            "commands": [shown(words, named_modules) for words in planned.commands],
        }
        for planned in trials
    ]
    if form == "json":
        return to_json(rows, indent=1)
    table = pd.DataFrame(rows).drop(columns="commands").astype({"hours": float})
    left = table["hours"][~table["done"]]
    total = f"{left.sum():.2f} hours one after the other" if left.notna().all() else "hours unknown"
    table["needs"] = table["needs"].map(", ".join)
    table["done"] = table["done"].map({True: "yes", False: "no"})
    text: str = table.to_string(index=False, na_rep="?", float_format="{:.2f}".format)
    return f"{text}\n{len(left)} of {len(table)} trials are to be run: {total}"


def finished(out: Path, trials: Iterable[PlannedTrial]) -> dict[str, Result]:
    """Return the results of those trials that ended well, by name.

    Raises:
        ValueError: naming a result that is damaged.
    """
    paths = {planned.trial.name: out / TRIALS / planned.trial.name / RESULT for planned in trials}
    results = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    return {name: result for name, result in results.items() if result.error is None}


def run_grid(
    out: Path, trials: Sequence[PlannedTrial], engine: Engine, command: Run, stop: StopRequests
) -> dict[str, str]:
    """Run trials until all are done, failed, or left out since they need one that failed.

    A trial that failed is tried again by the next command. Returned is why, by name.
    """
    named = {planned.trial.name: planned for planned in trials}
    failed: dict[str, str] = {}

    def ended(name: str, seconds: float | None, error: Exception | None) -> None:
        if error is None:
            say(f"{name}: done" if seconds is None else f"{name}: done in {_time(seconds)}")
            return
        failed[name] = str(error)
        if isinstance(error, ProcessDiedError):
            folder = out / TRIALS / name
            failed[name] += f"; see {folder / LOG}"
            write_result(folder, Result(named[name].trial, error=failed[name]))
        say(f"{name}: FAILED: {failed[name]}")

    jobs = []
    for name, planned in named.items():
        done = check_place(out, planned.trial) / RESULT
        if done.is_file() and (earlier := read_result(done)).error is not None:
            write_result(done.parent, earlier)  # a failure has a file of its own since 0.1.0
        arguments = (planned, out, command, tuple(named_modules))
        jobs.append(Job(name, run_trial, arguments, planned.needs, done, planned.trial.kind))
    run_jobs(jobs, engine, stop.raise_if_any, ended, _TRIES, quiet=False)
    return failed


def _refuse(out: Path, holder: str) -> None:
    raise ValueError(f"{holder} runs the benchmark in {out}: wait for it or stop it")


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
