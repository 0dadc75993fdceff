"""``wsrl benchmark`` and ``wsrl report``: the whole comparison by one command."""

from __future__ import annotations

import argparse
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from wsrl.cli.commands import command, read, run
from wsrl.cli.parsing import HELP, Count, Options
from wsrl.environment import check_training
from wsrl.studies.configs import Config, read_config

if TYPE_CHECKING:
    from wsrl.studies.benchmark.settings import BenchmarkSettings


Tier = Literal["smoke", "small", "medium", "paper"]
"""Benchmarks that come with the package: configs in ``configs/benchmark/``."""


def _with_tier(configs: Sequence[Config], words: Sequence[str]) -> Sequence[Config]:
    """Return the config files of a benchmark, that of its tier first."""
    from wsrl.studies.benchmark.settings import find_config

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--tier", choices=get_args(Tier))
    tier = parser.parse_known_args([*words])[0].tier
    if tier is not None:
        path = find_config(f"benchmark/{tier}.yaml")
        return [Config(path, read_config(path)), *configs]
    if not configs and not HELP & {*words}:
        raise ArgumentError(None, f"say which --tier: {', '.join(get_args(Tier))}; or a --config")
    return configs


@command(
    "benchmark",
    settings=Options("wsrl.studies.benchmark.settings:BenchmarkSettings"),
    configs=_with_tier,
    goes_on=True,
    own_modules=True,
)
def benchmark(
    *,
    out: str,
    settings: BenchmarkSettings,
    tier: Tier | None = None,
    workers: Count | None = None,
    cluster: str | None = None,
    plan: Literal["table", "json"] | None = None,
) -> int | str:
    """Compare encoders: train, test and predict with all of them, and report.

    Trains every encoder with every seed on every zoo, predicts every target, and writes a report.
    The same command goes on after an interruption and leaves out what is done. Settings come from
    --tier or from a --config; options beat both.

      wsrl benchmark --tier smoke --out runs/smoke
      wsrl benchmark --tier small --out runs/comparison --encoders+ my_encoder.TensorNorms

    Args:
        out: folder for all it makes
        settings: what is compared
        tier: smoke (minutes), small (hours on 2 cores), medium (longer: RNNs of
            the published size, small encoders) or paper (the published sizes)
        workers: trials that run at once (default: one a GPU, or a core); of a cluster that is
            started, its workers (default: 1)
        cluster: have a Dask cluster run the trials: the address of its scheduler, the file in which
            that wrote its address, or a YAML file that says which cluster to start
        plan: print the trials, what they need, which are done and the hours of the others, and run
            none (json: with their commands)

    Returns:
        The exit status: 1 where a trial failed.
    """
    check_training()
    from wsrl.encoders import list_encoders
    from wsrl.stopping import StopRequests
    from wsrl.studies.benchmark.benchmark import run_benchmark, show_plan

    list_encoders()  # loads other packages' encoders, so that they are found by name
    if plan is not None:
        return show_plan(settings, Path(out), plan)
    with StopRequests(at_once=True) as stop:
        failed = run_benchmark(settings, Path(out), read, run, workers, cluster, stop)
    return 1 if failed else 0


@command("report", own_modules=True)
def report(folder: str, *, out: str | None = None) -> str:
    """Make the report of a benchmark from its stored results.

    The benchmark may be unfinished. Written are report.html (one page that needs nothing beside
    it), report.md, results.csv (every number), by_spec.csv (those of the RNNs of each cell and
    size), runs.csv (every run: how it ended, its cost, the commands that made it), summary.csv
    (means over seeds, ranks, differences) and properties.csv (what was measured of the encoders).

    Args:
        folder: the benchmark's folder
        out: folder for the report (default: the benchmark's)
    """
    from wsrl.studies.report.writing import write_report

    return write_report(Path(folder), Path(out or folder))
