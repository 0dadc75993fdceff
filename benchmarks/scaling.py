"""What a second process is worth, each process on one thread.

    python benchmarks/scaling.py [--members 64] [--steps 300] [--rounds 3]

One process and two build the same zoo in turn; start-up is not counted, waiting for the other at
the end is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo

GROUPS = 8
"""Shards, an even number: two processes end at about the same time."""


def build_scaling(members: int, steps: int, rounds: int) -> str:
    """Return a row of a table: members a second by one process and by two, and their ratio."""
    settings = BuildSettings(
        runs=members, snapshots=[0, steps], group_size=max(1, members // GROUPS)
    )
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, found in rates.items():
            found.append(members / _seconds(settings, count))
    one, two = (statistics.median(found) for found in rates.values())
    ratios = [second / first for first, second in zip(*rates.values(), strict=True)]
    ratio = statistics.median(ratios)
    return (
        f"| zoo members/s ({steps} updates each) | {one:.2f} | {two:.2f} | {ratio:.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) |"
    )


def _seconds(settings: BuildSettings, count: int) -> float:
    """Build a zoo in so many processes; return how long they took together."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1)
    with tempfile.TemporaryDirectory() as folder:
        zoo = Path(folder) / "zoo"
        processes = [
            context.Process(target=_build, args=(zoo, settings, ready)) for _ in range(count)
        ]
        for process in processes:
            process.start()
        ready.wait()
        start = time.perf_counter()
        for process in processes:
            process.join()
        seconds = time.perf_counter() - start
        if any(process.exitcode for process in processes):
            raise SystemExit("a build failed")
        return seconds


def _build(zoo: Path, settings: BuildSettings, ready: Barrier) -> None:
    torch.set_num_threads(1)
    problem = FormalLanguages()
    with tempfile.TemporaryDirectory() as folder:  # kernels are loaded, memory is there
        small = BuildSettings(runs=2, snapshots=[0, 2])
        build_zoo(Path(folder) / "zoo", problem, small, quiet=True)
    ready.wait()
    build_zoo(zoo, problem, settings, quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("| | 1 process | 2 processes | ratio |")
    print("|---|---|---|---|")
    print(build_scaling(args.members, args.steps, args.rounds), flush=True)


if __name__ == "__main__":
    main()
