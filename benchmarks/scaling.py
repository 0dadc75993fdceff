"""What a second process is worth, and what a job costs beside its work.

    python benchmarks/scaling.py [--members 32] [--steps 300] [--rounds 5] [--jobs 1000]

A zoo is built by one process of one thread, one of all threads, and a pool of two, in turns; the
start of the pool is counted, compiling kernels is not. Jobs that sleep for 0.1 s run two at a time,
in a pool and on a Dask cluster of this machine with TLS; counted is the time beyond their sleep.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from wsrl.jobs import Job, locked, open_engine, run_jobs
from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo

GROUPS = 8
"""Shards, an even number: two processes end at about the same time."""

LOCAL = "class_path: distributed.LocalCluster\ninit_args: {n_workers: 0, threads_per_worker: 1}\n"
SLEEP = 0.1


def build_seconds(settings: BuildSettings, threads: int, workers: int) -> float:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build_zoo(Path(folder) / "zoo", FormalLanguages(), settings, quiet=True, workers=workers)
        return time.perf_counter() - start


def build_scaling(members: int, steps: int, rounds: int) -> str:
    """Return rows of a table: members a second, and the ratio to one thread, round by round."""
    cores = os.cpu_count() or 1
    ways = {"1 process, 1 thread": (1, 1), f"1 process, {cores} threads": (cores, 1)}
    ways["2 workers"] = (1, 2)
    build_seconds(BuildSettings(runs=2, snapshots=[0, 2]), 1, 1)  # kernels are compiled
    settings = BuildSettings(runs=members, snapshots=[0, steps], group_size=members // GROUPS or 1)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (threads, workers) in ways.items():
            taken[way].append(build_seconds(settings, threads, workers))
    (first, *_) = taken.values()
    rows = []
    for way, found in taken.items():
        ratios = [one / other for one, other in zip(first, found, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rate, ratio = members / statistics.median(found), statistics.median(ratios)
        rows.append(f"| {way} | {rate:.2f} | {ratio:.2f} ({spread}) |")
    return "\n".join(rows)


def overhead(jobs: int, cluster: str | None, folder: Path) -> float:
    """Return the seconds that a job costs beside its sleep, two at a time."""
    lock, imported = (
        folder / "a.lock",
        [build_zoo.__module__],
    )  # as of builds: once, not by each job
    with locked(lock, print), open_engine(2, cluster, lock, preload=imported) as engine:
        while engine.workers < 2:
            time.sleep(0.1)
        run_jobs([Job(f"first {i}", time.sleep, (0,)) for i in range(4)], engine)
        start = time.perf_counter()
        run_jobs([Job(str(i), time.sleep, (SLEEP,)) for i in range(jobs)], engine)
        return (time.perf_counter() - start - jobs * SLEEP / 2) / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000)
    args = parser.parse_args()
    print(f"| {args.members} LSTMs, {args.steps} updates | members/s | ratio |\n|---|---|---|")
    print(build_scaling(args.members, args.steps, args.rounds), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "local.yaml").write_text(LOCAL)
        for name, cluster in (("pool", None), ("Dask, TLS", str(folder / "local.yaml"))):
            seconds = overhead(args.jobs, cluster, folder)
            print(f"a job of {SLEEP} s, {name}: {1000 * seconds:.1f} ms more", flush=True)


if __name__ == "__main__":
    main()
