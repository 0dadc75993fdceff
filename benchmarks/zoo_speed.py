"""How fast zoos train: RNN-steps per second of three ways, side by side.

    python benchmarks/zoo_speed.py [--rounds 5] [--seconds 1.0] [--threads 2] [--members 64]

- plain: one ``torch.nn.LSTM`` after the other with ``torch.optim.AdamW``, as the published scripts
  do. Its data are made beforehand, which is kinder than the scripts are.
- eager: the whole population in PyTorch's batched products; data are made in the step.
- cpu: the compiled kernels (on a GPU, where ``gpu.py`` runs these, triton); data are made in the
  step.

FLOPs are those of the plain way's matrix products; their share of this machine's rate for one large
product shows how near the limit a way is (distinct strings are fewer than are counted, so it can
pass 100%).

Ways take turns, so that what else runs on the machine slows all of them alike; medians and ranges
over the rounds. Set ``WSRL_IMAGES`` to a folder with MNIST to train on its images, rotated in the
step; without it, images are noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from measuring import count_flops, finish, product_rates
from torch import Tensor
from torch.nn import functional

from wsrl.problems import Batch, FormalLanguages, TiledImages, TrainingStream
from wsrl.rnn import RNNSpec, RNNWeights, backends, population_cross_entropy
from wsrl.zoos.group import initial_weights
from wsrl.zoos.optimizer import PopulationAdamW

BATCH, RATE, DECAY = 32, 0.003, 1e-4


class NoiseStream(TrainingStream):
    """Sequences in the shape of tiled MNIST."""

    def __init__(self, members: int, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(10, (members, BATCH, 1), generator=generator).to(device)
        inputs = torch.randn(members, BATCH, 50, 16, generator=generator).to(device)
        shares = torch.full((members, BATCH), 1 / BATCH, device=device)
        self._batch = Batch(inputs, labels.expand(-1, -1, 50), shares)

    def batch(self, step: int) -> Batch:
        return self._batch


@dataclass
class Workload:
    name: str
    spec: RNNSpec
    stream: TrainingStream
    drawn_one_by_one: TrainingStream
    device: str = "cpu"


def workloads(members: int, device: str = "cpu") -> list[Workload]:
    found = []
    languages, group = FormalLanguages(), range(members)
    tasks = languages.draw_tasks(0, group).to(device)
    drawn = languages.training_stream(tasks, group, 0, BATCH, False)
    distinct = languages.training_stream(tasks, group, 0, BATCH, True)
    spec = languages.spec("lstm", 32, 2)
    found.append(Workload("languages, distinct strings", spec, distinct, drawn, device))
    found.append(Workload("languages, as drawn", spec, drawn, drawn, device))
    if os.environ.get("WSRL_IMAGES"):
        images = TiledImages("mnist")
        angles = images.draw_tasks(0, group).to(device)
        pictures = images.training_stream(angles, group, 0, BATCH, True)
        found.append(Workload("MNIST", images.spec("lstm", 32, 2), pictures, pictures, device))
    else:
        noise, spec = NoiseStream(members, device), RNNSpec("lstm", 16, 32, 2, 10)
        found.append(Workload("noise like MNIST", spec, noise, noise, device))
    return found


def plain(work: Workload, members: int) -> Callable[[int], int]:
    """Train one RNN; every call is a step."""
    weights = RNNWeights(initial_weights(work.spec, 0, [0]), work.spec)
    model = weights.to_module().to(work.device)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    batches = [work.drawn_one_by_one.batch(step) for step in range(3)]

    def step(number: int) -> int:
        batch, member = batches[number % len(batches)], number % members
        outputs, _ = model(batch.inputs[member])
        loss = functional.cross_entropy(outputs.flatten(0, 1), batch.targets[member].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return 1

    return step


def population(work: Workload, members: int, backend: backends.Backend) -> Callable[[int], int]:
    """Train all members; every call is a step of each."""
    flat = initial_weights(work.spec, 0, range(members)).to(work.device)
    optimizer = PopulationAdamW(flat, DECAY, backend)

    def step(number: int) -> int:
        batch = work.stream.batch(number)
        weights = RNNWeights(flat.requires_grad_(), work.spec)
        data: tuple[Tensor, Tensor, Tensor] = (batch.inputs, batch.targets, batch.weights)
        losses = population_cross_entropy(weights, *data, backend=backend)
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        with torch.no_grad():
            optimizer.step(gradient, RATE)
        return members

    return step


def rate(step: Callable[[int], int], seconds: float) -> float:
    """Call ``step`` for some seconds; return RNN-steps per second."""
    done, number, start = 0, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done, number = done + step(number), number + 1
    finish()
    return done / (time.perf_counter() - start)


def measure(work: Workload, members: int, rounds: int, seconds: float, floor: float) -> None:
    ways = {"plain": plain(work, members), "eager": population(work, members, "eager")}
    kernels: backends.Backend = "cpu" if work.device == "cpu" else "triton"
    try:
        backends.check_backend(kernels)
        ways[kernels] = population(work, members, kernels)
    except ValueError as error:
        print(error)
    compare(work.name, ways, rounds, seconds, floor)


def compare(
    name: str, ways: dict[str, Callable[[int], int]], rounds: int, seconds: float, floor: float
) -> None:
    """Let ways take turns and print a row for each.

    Args:
        name: of the workload.
        ways: the steps by name; all of one workload, ``plain`` among them.
        rounds: how often each has its turn.
        seconds: how long a turn is.
        floor: this machine's FLOP/s.
    """
    flops = count_flops(lambda: ways["plain"](0))
    for step in ways.values():
        step(0)
    finish()
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, step in ways.items():
            rates[way].append(rate(step, seconds))
    for way, found in rates.items():
        ratios = [own / base for own, base in zip(found, rates["plain"], strict=True)]
        median = statistics.median(found)
        print(
            f"| {name} | {way} | {median:.0f} ({min(found):.0f}..{max(found):.0f}) "
            f"| {statistics.median(ratios):.1f} ({min(ratios):.1f}..{max(ratios):.1f}) "
            f"| {flops / 1e6:.0f} | {median * flops / floor:.0%} |",
            flush=True,
        )


def header() -> str:
    """Return the head of the table that ``compare`` prints rows of."""
    return (
        "| zoo | way | RNN-steps/s (range) | times plain (range) | MFLOP a step | of the floor |\n"
        "|---|---|---|---|---|---|"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--members", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{args.threads} threads, {args.members} members, 2x32 LSTMs, batch {BATCH}, float32")
    print(f"load of the machine before: {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    rates = product_rates()
    print("GFLOP/s: " + ", ".join(f"{name} products {r / 1e9:.0f}" for name, r in rates.items()))
    print(header())
    for work in workloads(args.members):
        measure(work, args.members, args.rounds, args.seconds, rates["large"])


if __name__ == "__main__":
    main()
