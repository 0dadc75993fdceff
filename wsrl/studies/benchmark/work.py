"""One trial in a process of its own: run its commands, write its result."""

import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from wsrl import __version__
from wsrl._process import find_own_modules, named_modules
from wsrl.failures import describe
from wsrl.safe_files import check_inside
from wsrl.strict_json import numbers, read_json
from wsrl.studies.benchmark.plan import PlannedTrial, Run, Words, shown
from wsrl.studies.benchmark.results import (
    FAILURE,
    RESULT,
    TRIALS,
    Cost,
    Result,
    Trial,
    write_result,
)
from wsrl.terminal import complain, guarded, say
from wsrl.zoos.files import remove_leftovers

LOG = "output.log"
"""What a trial's commands print, in its folder."""

_FRAMES = 30  # of a traceback, the innermost ones
_POINTS = 100  # of a curve, at most


def run_trial(planned: PlannedTrial, out: Path, command: Run, modules: Sequence[str]) -> float:
    """Run a trial in this process, which is its own, and note how it ended; return its seconds.

    ``modules`` are those that the command line names.

    Raises:
        RuntimeError: saying why it failed, as the result does.
    """
    named_modules[:] = modules
    find_own_modules()
    folder = make_folder(out, planned.trial)
    _print_to(folder / LOG)
    start = time.monotonic()
    with guarded():
        error = _run(planned.commands, command)
    seconds = time.monotonic() - start
    result = _result(planned, folder, error, seconds)
    write_result(folder, result)
    if error is not None:
        raise RuntimeError(error)
    return seconds


def check_place(out: Path, trial: Trial) -> Path:
    """Return a trial's folder; refuse a link in it that leads out of the benchmark's."""
    name = f"{TRIALS}/{trial.name}"
    check_inside(out, *(f"{name}/{file}" for file in (LOG, RESULT, FAILURE)))
    return out / name


def make_folder(out: Path, trial: Trial) -> Path:
    """Return a trial's folder, without what was left by the last time, when it failed."""
    folder = check_place(out, trial)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    (folder / FAILURE).unlink(missing_ok=True)
    return folder


def _run(commands: Sequence[Words], command: Run) -> str | None:
    """Run the commands; return why one failed."""
    for words in commands:
        say(f"$ {shown(words, named_modules)}")
        try:
            command(words)
        except Exception as error:  # a trial that fails, as by an encoder's bug, ends no other
            reason = describe(error).reason
            traceback.print_exc(limit=-_FRAMES)  # into the log
            complain(f"error: {reason}")
            return reason
    return None


def _result(planned: PlannedTrial, folder: Path, error: str | None, seconds: float) -> Result:
    metrics, by_spec, cost, logs = {}, {}, None, folder / "logs"
    if error is None and (folder / "test.json").is_file():
        tested = read_json(folder / "test.json")
        metrics, by_spec = numbers(tested["metrics"]), tested.get("metrics_by_spec", {})
    if error is None and (folder / "cost.json").is_file():
        cost = Cost(**read_json(folder / "cost.json"))
    return Result(
        trial=planned.trial,
        error=error,
        commands=tuple(shown(words, named_modules) for words in planned.commands),
        metrics=metrics,
        metrics_by_spec={
            split: {spec: numbers(found) for spec, found in specs.items()}
            for split, specs in by_spec.items()
        },
        cost=cost,
        curves=_read_curves(logs) if logs.is_dir() else {},
        made_with={
            "wsrl": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": _device(),
        },
        wall_seconds=seconds,
    )


def _read_curves(logs: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Return the losses of a run, thinned out: by logged name, steps and values."""
    events = EventAccumulator(str(logs), size_guidance={SCALARS: 0})
    events.Reload()
    curves = {}
    for name in events.Tags()[SCALARS]:
        split, _, metric = name.partition("/")
        if not metric or (split == "train" and metric != "loss"):
            continue
        found = events.Scalars(name)
        places = np.linspace(0, len(found) - 1, min(len(found), _POINTS)).astype(int)
        kept = [found[place] for place in places]
        curves[name] = ([event.step for event in kept], [float(f"{e.value:.6g}") for e in kept])
    return curves


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"


def _print_to(path: Path) -> None:
    """Send all that this process and its libraries print to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
