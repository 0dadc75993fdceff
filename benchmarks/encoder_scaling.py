"""How many more training steps two processes make than one, each on one thread.

    python benchmarks/encoder_scaling.py [--rounds 5] [--steps 3] [--only NAME ...]

Emulation with the small presets of configs/ as `wsrl fit --trainer.strategy ddp` trains it, reading
left out: 64 LSTMs of 2 x 32 a step over all processes, DistributedDataParallel over gloo. One
process alone and both take turns in the same two processes; the ratio is the median over rounds.
Two free cores could give 2; where others use them as well, two processes wait for each other's
turns and the ratio says little.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from encoder_speed import SPEC, make_batch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from wsrl.encoders import create_encoder
from wsrl.tasks import EmulationModule
from wsrl.tasks.losses import total_variation

CONFIGS = Path(__file__).parents[1] / "configs"
NAMES = ("InteractiveProbing", "DeepWeightSpace")


def preset(name: str) -> EmulationModule:
    """Make the emulation that the small configs describe."""
    files = ("emulation_small.yaml", f"encoders/{name}_small.yaml")
    task, encoder = (
        yaml.safe_load((CONFIGS / file).read_text())["model"]["init_args"] for file in files
    )
    options = encoder["encoder"]["init_args"]
    torch.manual_seed(0)
    return EmulationModule(
        lambda spec: create_encoder(name, spec, **options),
        SPEC.to_dict(),
        **{part: task[part] for part in ("emulator_width", "emulator_layers", "learning_rate")},
    )


def training_step(name: str, rank: int, processes: int) -> Callable[[], None]:
    """Return one process's share of a step."""
    module = preset(name)
    model = module if processes == 1 else DistributedDataParallel(module)
    optimizer = module.configure_optimizers()
    weights, inputs, outputs = make_batch()
    share = slice(rank * len(inputs) // processes, (rank + 1) * len(inputs) // processes)
    weights, inputs, outputs = weights[share], inputs[share], outputs[share]

    def step() -> None:
        loss = total_variation(model(weights, inputs), outputs).mean()
        optimizer.zero_grad()
        loss.backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()

    return step


def measure(rank: int, port: int, args: argparse.Namespace) -> None:
    """Do one process's part; the first prints."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    for name in args.only:
        ways = {1: training_step(name, 0, 1), 2: training_step(name, rank, 2)}
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(args.rounds + 1):
            for processes, step in ways.items():
                distributed.barrier()
                start = time.perf_counter()
                for _ in range(args.steps if rank < processes else 0):
                    step()
                seconds[processes].append(time.perf_counter() - start)
        if rank == 0:
            report(name, args.steps, {way: values[1:] for way, values in seconds.items()})
    distributed.destroy_process_group()


def report(name: str, steps: int, seconds: dict[int, list[float]]) -> None:
    """Print a row of the table."""
    one, two = (steps / statistics.median(values) for values in seconds.values())
    ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
    print(f"| {name} | {one:.2f} | {two:.2f} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    args = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{os.cpu_count()} cores, load before: {load}")
    print("| encoder | steps/s, 1 process | steps/s, 2 processes | ratio |")
    print("|---|---|---|---|", flush=True)
    torch.multiprocessing.spawn(measure, (port, args), nprocs=2)


if __name__ == "__main__":
    main()
