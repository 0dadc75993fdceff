"""Private memory, and time of a batch, when a zoo is read and when one ten times as large is.

Private memory is what the process alone has (``RssAnon`` of ``/proc/self/status``): what the kernel
keeps of files that were read does not count, it drops that whenever it needs room. Linux only.

    python benchmarks/zoo_memory.py --rows 500 --factor 10
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from wsrl.data import ZooDataModule
from wsrl.problems import FormalLanguages, TrainableProblem
from wsrl.rnn import RNNSpec
from wsrl.zoos import Manifest
from wsrl.zoos.shards import write_shard

SHARD_ROWS = 250


def private_megabytes() -> float:
    """Return the process's private memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def megabytes_read() -> float:
    """Return how much the process has read, from the disk or from what the kernel kept of it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar")) / 2**20


def write_zoo(folder: Path, rows: int, problem: TrainableProblem, spec: RNNSpec) -> float:
    """Write a zoo of meaningless numbers with one snapshot a run; return its size in MB."""
    build = {"runs": rows, "snapshots": [0]}
    manifest = Manifest.of(problem, spec, build, problem.columns())
    for index, start in enumerate(range(0, rows, SHARD_ROWS)):
        count = min(SHARD_ROWS, rows - start)
        values = {
            name: torch.ones(count, *column.shape, dtype=column.torch_dtype)
            for name, column in manifest.columns.items()
        }
        values["run"] = torch.arange(start, start + count)
        values["step"] = torch.zeros(count, dtype=torch.int64)
        values["task"] = problem.draw_tasks(0, range(start, start + count))
        manifest.shards.append(write_shard(folder, index, values))
    manifest = replace(manifest, complete=True)
    manifest.write(folder)
    return sum(shard.bytes for shard in manifest.shards) / 2**20


def read_all(zoo: str, in_memory: bool = False) -> tuple[float, float, float]:
    """Read every training row three times.

    Returns how private memory grew, the megabytes read, and the median milliseconds of a batch of
    64.
    """
    gc.collect()
    before = private_megabytes(), megabytes_read()
    module = ZooDataModule(zoo, in_memory=in_memory)
    loader = module.train_dataloader()
    seconds = []
    for step in range(3 * len(module.rows("train")) // 64 + 1):
        start = time.perf_counter()
        loader.batch(step)
        seconds.append(time.perf_counter() - start)
    grown = private_megabytes() - before[0], megabytes_read() - before[1]
    return *grown, 1000 * statistics.median(seconds)


def main() -> None:
    """Measure each zoo in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500, help="snapshots of the smaller zoo")
    parser.add_argument("--factor", type=int, default=10, help="how much larger the other one is")
    parser.add_argument("--read", help="only read this zoo and print what it took")
    arguments = parser.parse_args()
    if arguments.read:
        private, read, batch = read_all(arguments.read)
        print(
            f"private memory +{private:.1f} MB, read from files {read:.1f} MB, "
            f"{batch:.1f} ms a batch"
        )
        return
    problem = FormalLanguages()
    spec = problem.spec("lstm", 32, 2)
    with tempfile.TemporaryDirectory() as folder:
        for rows in (arguments.rows, arguments.rows * arguments.factor):
            zoo = Path(folder) / str(rows)
            size = write_zoo(zoo, rows, problem, spec)
            command = [sys.executable, __file__, "--read", str(zoo)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{rows} snapshots, {size:.0f} MB: {result.stdout.strip()}")


if __name__ == "__main__":
    main()
