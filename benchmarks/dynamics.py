"""Fixed points of many RNNs at once, against the published method one RNN at a time.

The published method (Sussillo and Barak 2013; FixedPointFinder, Golub and Sussillo 2018) descends
`|F(x) - x|^2 / 2` by Adam from all starts of one RNN, until all are below a tolerance or so many
steps are made. Here it is written in plain PyTorch on the RNN's own `torch.nn` module. Its time for
all RNNs is that of the first `--loop` of them, times their number; both start from the same states.
Seconds are those of the processor, whatever else runs on it; set OMP_NUM_THREADS=1.

    python benchmarks/dynamics.py --zoo zoos/small --loop 10
"""

from __future__ import annotations

import argparse
import os
import time

import torch
from torch import Tensor, nn

from wsrl.rnn import RNNSpec, RNNWeights, find_fixed_points, flatten_state, visited_states
from wsrl.zoos import open_zoo

TOLERANCE = 1e-12
"""Of `|F(x) - x|^2 / 2`, as the published finder's default."""

SAME = 1e-2
"""Distance, as a share of the range of visited states, within which points are one."""


def read(zoo: str | None, count: int, starts: int) -> tuple[RNNWeights, Tensor]:
    """RNNs, and states that each visits."""
    generator = torch.Generator().manual_seed(0)
    if zoo is None:
        spec = RNNSpec("gru", 3, 32, 1, 3)
        flat = torch.randn(count, spec.num_parameters, generator=generator) / 32**0.5 * 1.5
        weights, inputs = RNNWeights(flat, spec), torch.randn(count, 8, 30, 3, generator=generator)
    else:
        opened = open_zoo(zoo)
        last = (opened.read("step") == max(opened.steps)).nonzero()[:, 0][:count]
        weights = opened.read_weights(last)
        inputs = opened.problem.encode(opened.read("sequences", last)[:, :8])
    return weights, visited_states(weights, inputs, starts, generator)


def published(rnn: nn.RNNBase, starts: Tensor, most: int) -> Tensor:
    """Where searches from `(K, n)` converge, `(found, n)`; points are one within SAME."""
    layers, parts = rnn.num_layers, 2 if isinstance(rnn, nn.LSTM) else 1
    states = starts.clone().requires_grad_()
    nothing = torch.zeros(len(starts), 1, rnn.input_size)

    def moved(at: Tensor) -> Tensor:
        halves = at.unflatten(1, (parts, layers, rnn.hidden_size)).permute(1, 2, 0, 3)
        state = tuple(part.contiguous() for part in halves)
        _, new = rnn(nothing, state if parts == 2 else state[0])
        new = new if parts == 2 else (new,)
        return flatten_state(tuple(part[:, None] for part in new))[0]

    optimizer = torch.optim.Adam([states], lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, (1e-4 / 0.1) ** (1 / most))
    for _ in range(most):
        optimizer.zero_grad()
        speed = (moved(states) - states).square().sum(1) / 2
        speed.sum().backward()
        if speed.max() < TOLERANCE:
            break
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        speed = (moved(states) - states).square().sum(1) / 2
    return states.detach()[speed < TOLERANCE]


def distinct(points: Tensor, within: float) -> Tensor:
    kept: list[Tensor] = []
    for point in points:
        if all((point - other).norm() > within for other in kept):
            kept.append(point)
    return torch.stack(kept) if kept else points[:0]


def unmatched(points: Tensor, others: Tensor, within: float) -> int:
    if not len(others):
        return len(points)
    return int((torch.cdist(points, others).amin(1) > within).sum()) if len(points) else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", help="folder of a zoo of a cell that torch.nn has")
    parser.add_argument("--count", type=int, default=200, help="RNNs")
    parser.add_argument("--loop", type=int, default=10, help="RNNs that the loop takes")
    parser.add_argument("--starts", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3000, help="of Adam at most")
    given = parser.parse_args()
    weights, visited = read(given.zoo, given.count, given.starts)
    ranges = 2 * (visited - visited.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    find_fixed_points(weights[:2], visited[:2])  # warms up
    begun = time.process_time()
    found = find_fixed_points(weights, visited, same_within=SAME * ranges.double())
    ours = time.process_time() - begun
    load = os.getloadavg()[0]
    print(f"{weights.spec}, {len(weights)} RNNs, {given.starts} starts each, load {load:.1f}")
    print(f"at once: {ours:.1f} s, {int(found.distinct.sum())} points")
    seconds, theirs, missing, more = 0.0, 0, 0, 0
    for row in range(given.loop):
        module = weights[[row]].to_module()
        begun = time.process_time()
        ends = published(module.rnn, visited[row], given.steps)
        seconds += time.process_time() - begun
        within = SAME * float(ranges[row])
        points = distinct(ends, within)
        theirs += len(points)
        missing += unmatched(points, found.of(row), within)
        more += unmatched(found.of(row), points, within)
    whole = seconds / given.loop * len(weights)
    print(f"one by one: {seconds:.1f} s for {given.loop} RNNs, {whole:.0f} s for all")
    print(f"{whole / ours:.0f} times faster; of the {theirs} points of the loop {missing} are not")
    print(f"found at once; {more} are found at once that the loop does not find")


if __name__ == "__main__":
    main()
