"""``wsrl benchmark``: the whole comparison by one command."""

from __future__ import annotations

import argparse
import os
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from wsrl.encoders import list_encoders
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.checks import check_grid
from wsrl.studies.benchmark.plan import PlannedTrial, plan, shown
from wsrl.studies.benchmark.progress import duration
from wsrl.studies.benchmark.record import finished, record_grid
from wsrl.studies.benchmark.running import GridRunner
from wsrl.studies.benchmark.setting_checks import check_settings
from wsrl.studies.benchmark.settings import (
    TIERS,
    BenchmarkSettings,
    Training,
    read_zoo,
    tier_config,
)
from wsrl.studies.configs import Config, configs_apart
from wsrl.studies.messages import explain
from wsrl.studies.report.commands import write_report
from wsrl.terminal import complain, say


def benchmark_from_arguments(args: Sequence[str]) -> int:
    """Run a benchmark as the command line says, and write its report.

    Returns:
        The exit status: 1 where a trial failed.

    Raises:
        ValueError: for settings that make no sense, before any work.
        argparse.ArgumentError: for a command line that cannot be read.
        KeyboardInterrupt, SystemExit: told to end; the same command goes on.
    """
    list_encoders()  # loads other packages' encoders, so that they are found by name
    with StopRequests(at_once=True) as stop:
        given = _parse(args)
        settings = _settings(given)
        check_settings(settings)
        out = Path(given["out"])
        trials = plan(settings, out)
        if given["list"]:
            _list(trials)
            return 0
        devices = _devices()
        workers = len(devices) or _cores() if given["workers"] is None else given["workers"]
        if workers < 1:
            raise ValueError(f"--workers must be at least 1, not {workers}")
        done = finished(out, trials)
        left = [planned for planned in trials if planned.trial.name not in done]
        check_grid(settings, left, out, workers)
        record_grid(out, settings, trials)
        say(f"{out}: {len(trials)} trials, {len(done)} of them done, {workers} at a time")
        threads = max(1, _cores() // workers)
        stop.at_once = False
        failed = GridRunner(out, trials, workers, devices, threads).run(stop)
    say(write_report(out, out))
    total = sum(result.wall_seconds for result in finished(out, trials).values())
    say(f"{len(trials) - len(failed)} of {len(trials)} trials are done; {duration(total)} in all")
    for name, reason in failed.items():
        complain(f"failed: {name}: {reason}")
    return 1 if failed else 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="wsrl benchmark",
        description="Compare encoders: train every one with every seed on every zoo, predict every "
        "target, and write a report. The same command goes on after an interruption, leaves out "
        "what is done, and shares the work with others that run it on the same folder. Settings "
        "come from --tier smoke (minutes), small (hours on 2 cores) or paper (the published "
        "sizes), or from a --config; options beat both.",
        exit_on_error=False,
    )
    parser.add_argument("-c", "--config", action="config", help="a YAML file of all settings")
    parser.add_argument("--out", required=True, type=str, help="folder for all it makes")
    parser.add_argument(
        "--workers", type=int | None, help="trials that run at once (default: one a GPU, or a core)"
    )
    parser.add_argument(
        "--zoo",
        nargs="*",
        default=[],
        metavar="NAME=DIR",
        help="take the zoo in DIR rather than building one",
    )
    parser.add_argument("--list", action="store_true", help="print the trials and their commands")
    # The parser cannot check dataclasses within a dictionary: read_zoo does.
    parser.add_argument("--zoos", type=dict[str, dict[str, Any]], default={}, help="by name")
    parser.add_class_arguments(BenchmarkSettings, skip={"zoos"})
    return parser


def _parse(args: Sequence[str]) -> Any:
    """Read a command line: a tier's config first, then other configs, then the options."""
    configs, words = configs_apart(args)
    tiers = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    tiers.add_argument("--tier")
    known, options = tiers.parse_known_args(words)
    if known.tier is not None:
        configs = [Config.read(tier_config(known.tier)), *configs]
    elif not configs and not {"-h", "--help"} & set(options):
        raise ArgumentError(None, f"say which --tier: {', '.join(TIERS)}; or a --config")
    try:
        return _parser().parse_args([*(config.word for config in configs), *options])
    except ArgumentError as error:
        raise ArgumentError(None, explain(str(error), configs)) from error


def _settings(given: Any) -> BenchmarkSettings:
    values = {field.name: given[field.name] for field in fields(BenchmarkSettings)}
    for name in ("emulation", "prediction"):
        values[name] = Training(**vars(values[name]))
    zoos = {name: read_zoo(name, zoo) for name, zoo in values.pop("zoos").items()}
    for text in given["zoo"]:
        name, _, folder = text.partition("=")
        if name not in zoos or not folder:
            raise ValueError(f"--zoo {text}: expected NAME=DIR with one of {', '.join(zoos)}")
        zoos[name] = replace(zoos[name], build=None, path=folder)
    return BenchmarkSettings(zoos=zoos, **values)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices() -> list[str]:
    """Return how the environment numbers the GPUs that may be used."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and torch.cuda.device_count() > 0:
        return [number.strip() for number in visible.split(",") if number.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def _list(trials: Sequence[PlannedTrial]) -> None:
    for planned in trials:
        say(planned.trial.name)
        for words in planned.commands:
            say(f"  {shown(words)}")
