"""How fast RNNs of every cell train: RNN-steps per second, 64 at once beside one after the other.

    python benchmarks/cells.py [--cells lru "leaky(form='state')"] [--rounds 5] [--seconds 1.0]

- plain: one RNN after the other, each with ``torch.optim.AdamW``: the module of ``torch.nn`` where
  it has the cell, or else the cell's own step for one RNN.
- eager: the whole population in PyTorch's batched products.
- cpu: the compiled kernels, of the cells that have some.
- compiled (with ``--compiled``): as eager, the cell's step by ``torch.compile``.

All train on one batch of formal languages, made beforehand; with ``--distinct`` the population on
its distinct strings with weights, as zoos do. Ways take turns; medians and ranges
over the rounds.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from measuring import product_rates
from torch.nn import functional
from zoo_speed import BATCH, DECAY, RATE, Workload, compare, header, population
from zoo_speed import plain as plain_module

from wsrl.problems import Batch, FormalLanguages, TrainingStream
from wsrl.rnn import RNNWeights, list_cells, run_population
from wsrl.rnn.backends import cell_of_kernels, cells_with_kernels
from wsrl.zoos.group import initial_weights


class OneBatch(TrainingStream):
    """The same batch at every step."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batch(self, step: int) -> Batch:
        return self._batch


def workload(
    cell: str, members: int, layers: int, hidden: int = 32, distinct: bool = False
) -> Workload:
    languages, group = FormalLanguages(), range(members)
    tasks = languages.draw_tasks(0, group)
    drawn, counted = (
        OneBatch(languages.training_stream(tasks, group, 0, BATCH, unique).batch(0))
        for unique in (False, distinct)
    )
    return Workload(cell, languages.spec(cell, hidden, layers), counted, drawn)


def plain_step(work: Workload, members: int) -> Callable[[int], int]:
    """Train one RNN by the cell's own step; every call is a step."""
    flat = initial_weights(work.spec, 0, [0]).requires_grad_()
    optimizer = torch.optim.AdamW([flat], RATE, weight_decay=DECAY)
    batch = work.drawn_one_by_one.batch(0)

    def step(number: int) -> int:
        member = number % members
        weights, inputs = RNNWeights(flat, work.spec), batch.inputs[member, None]
        outputs, _ = run_population(weights, inputs, backend="eager")
        loss = functional.cross_entropy(outputs.flatten(0, 2), batch.targets[member].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return 1

    return step


@contextmanager
def compiled(cell: type[Any]) -> Iterator[None]:
    """Have the steps of a cell's class compiled."""
    step = cell.step
    cell.step = torch.compile(step, dynamic=False)
    try:
        yield
    finally:
        cell.step = step


def measure(work: Workload, args: argparse.Namespace, floor: float) -> None:
    kind, members = work.spec.kind, args.members
    plain = plain_module if kind.torch_form else plain_step
    ways = {"plain": plain(work, members), "eager": population(work, members, "eager")}
    if cell_of_kernels(work.spec) in cells_with_kernels("cpu"):
        ways["cpu"] = population(work, members, "cpu")
    if args.compiled:
        eager = population(work, members, "eager")

        def step(number: int) -> int:
            with compiled(type(kind)):
                return eager(number)

        ways["compiled"] = step
    compare(work.name, ways, args.rounds, args.seconds, floor)


def main() -> None:
    parser = argparse.ArgumentParser(description=cast(str, __doc__).splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=list_cells())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(
        f"{args.threads} threads, {args.members} members, {args.layers}x{args.hidden}, "
        f"batch {BATCH}, float32"
    )
    print(f"load of the machine before: {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    print(header())
    floor = product_rates()["large"]
    for cell in args.cells:
        work = workload(cell, args.members, args.layers, args.hidden, args.distinct)
        measure(work, args, floor)


if __name__ == "__main__":
    main()
