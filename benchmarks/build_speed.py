"""How fast ``wsrl zoo build`` itself trains a zoo, evaluation and writing included.

    WSRL_IMAGES=DIR python benchmarks/build_speed.py [--threads 2] [--members 64] [--rounds 1]

Every zoo is built twice, the second time with more updates and one snapshot more; the difference of
the two takes out the start-up. One snapshot for 2,222 updates is what the published zoos have (9
for 20,000); the slower zoos take one for 1,111. Before and after, RNNs train the plain way (one
``torch.nn.LSTM`` after the other) in this process, for the ratio. Images are left out without
``WSRL_IMAGES``, a folder with MNIST.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from zoo_speed import plain, rate, workloads

CONFIGS = Path(__file__).parent.parent / "configs" / "zoo"
ZOOS = {
    "languages, distinct strings": ("formal_languages.yaml", [], 2222),
    "languages, as drawn": ("formal_languages.yaml", ["--unique_sequences", "false"], 1111),
    "MNIST": ("tiled_mnist.yaml", [], 1111),
}
FIRST = 300


def build(config: str, options: list[str], snapshots: list[int], threads: int) -> float:
    """Run the command into a new folder; return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("wsrl")), "zoo", "build"]
        command += [
            "--config",
            str(CONFIGS / config),
            "--out",
            f"{folder}/zoo",
            "--snapshots",
            str(snapshots),
            "--quiet",
            "true",
        ]
        start = time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(ZOOS), default=list(ZOOS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plain_ways = {work.name: work for work in workloads(args.members)}
    print(f"{args.threads} threads, {args.members} members")
    print("| zoo | plain, RNN-steps/s | wsrl zoo build, RNN-steps/s | times faster |")
    print("|---|---|---|---|")
    for name in args.only:
        if name not in plain_ways:
            continue
        step = plain(plain_ways[name], args.members)
        config, options, more = ZOOS[name]
        options = [*options, "--runs", str(args.members)]
        plain_rates, rates = [rate(step, 5.0)], []
        for _ in range(args.rounds):
            short = build(config, options, [FIRST], args.threads)
            long = build(config, options, [FIRST, FIRST + more], args.threads)
            rates.append(args.members * more / (long - short))
            plain_rates.append(rate(step, 5.0))
        slow, fast = statistics.median(plain_rates), statistics.median(rates)
        print(f"| {name} | {slow:.0f} | {fast:.0f} | {fast / slow:.1f} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest peak memory of a build: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
