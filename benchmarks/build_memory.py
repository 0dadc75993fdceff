"""Memory and cost of training populations of different sizes.

    python benchmarks/build_memory.py [--members 64 256 1000]

Each population of 2x32 LSTMs is one group of a zoo of formal languages, trained and evaluated in a
process of its own. Its memory is the peak of that process less what a population of one needed;
beside it what cannot be done without: weights, two running means and the gradient, what a backward
pass has to keep of all steps, and the snapshots until they are written.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time

from wsrl.problems import FormalLanguages
from wsrl.zoos import BuildSettings, build_zoo

UPDATES = 100


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def build(members: int, snapshots: list[int]) -> float:
    settings = BuildSettings(runs=members, snapshots=snapshots, group_size=members)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        build_zoo(folder + "/zoo", FormalLanguages(), settings, quiet=True)
        return time.process_time() - start


def needed(members: int) -> dict[str, int]:
    problem = FormalLanguages()
    spec = problem.spec("lstm", 32, 2)
    steps, strings = problem.length - 1, problem.max_n
    kept = strings * steps * spec.num_layers * 7 * spec.hidden_size  # gates, h, c and tanh(c)
    stored = problem.stored_strings * (2 * problem.length + 2 * steps * problem.output_size)
    return {
        "weights and optimiser": 4 * 4 * members * spec.num_parameters,
        "activations": 4 * members * kept,
        "snapshots": 2 * members * (4 * spec.num_parameters + stored),
    }


def one(members: int) -> None:
    """Print the bytes and the CPU seconds of the population in this process."""
    build(1, [0, 2])
    before = peak()
    short, long = build(members, [10]), build(members, [10, 10 + UPDATES])
    print(peak() - before, (long - short) / members / UPDATES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, nargs="*", default=[64, 256, 1000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(args.one)
    print("| members | peak, MiB | needed, MiB | ratio | CPU ms an RNN-step, one snapshot in 100 |")
    print("|---|---|---|---|---|")
    for members in args.members:
        command = [sys.executable, __file__, "--one", str(members)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        used, seconds = map(float, done.stdout.split())
        wanted = sum(needed(members).values())
        print(
            f"| {members} | {used / 2**20:.0f} | {wanted / 2**20:.0f} | {used / wanted:.2f} "
            f"| {1000 * seconds:.3f} |",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
