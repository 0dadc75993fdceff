"""Where trajectories of many RNNs end: at points, on lines, on cycles, or nowhere yet."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wsrl.analysis.dynamics.cycles import (
    RECORDED,
    Cycle,
    find_period,
    is_limit_cycle,
    multipliers,
)
from wsrl.analysis.dynamics.portrait import MARGIN, End
from wsrl.rnn import FixedPoints, PreparedPopulation, RNNWeights, flatten_state, unflatten_state

FOLLOWED = 8
"""Trajectories of an RNN that reached no point, of which cycles are looked for."""

SMALLEST = 1e-3
"""Size of the smallest orbit that is no point, as a share of the range."""

BESIDE = 0.1
"""Distance from a cycle, as a share of its size, within which a trajectory is on it."""

ARRIVED = 5e-2
"""Distance within which a trajectory has reached a stable point, as a share of the range."""

RESTING = 1e-6
"""Distance within which it has reached any point."""


@dataclass(frozen=True)
class Trajectories:
    """Trajectories of ``B`` RNNs that have settled, ``E`` of each.

    Attributes:
        ends: where they are, ``(B, E, n)``.
        sources: the place, among the searches, of the point beside which each began, or -1.
        places: of the searches from their ends, ``(E,)``.
    """

    ends: Tensor
    sources: Tensor
    places: Tensor

    def joined(self, other: "Trajectories") -> "Trajectories":
        """Return both, as one."""
        return Trajectories(
            torch.cat([self.ends, other.ends], 1),
            torch.cat([self.sources, other.sources], 1),
            torch.cat([self.places, other.places]),
        )


@torch.no_grad()
def record(weights: RNNWeights, states: Tensor, inputs: Tensor, steps: int) -> Tensor:
    """Return the states ``(B, K, 1 + steps, n)`` of RNNs under a constant input ``(B, I)``."""
    run, state = PreparedPopulation(weights), unflatten_state(weights.spec, states)
    driving, passed = inputs[:, None, None].expand(-1, states.shape[1], 1, -1), [states]
    for _ in range(steps):
        _, state = run(driving, state)
        passed.append(flatten_state(state))
    return torch.stack(passed, 2)


def find_cycles(
    weights: RNNWeights, ends: Tensor, lost: Tensor, inputs: Tensor, ranges: Tensor
) -> tuple[list[list[Cycle]], list[list[End]]]:
    """Look for limit cycles where trajectories have reached no point.

    Args:
        weights: ``B`` RNNs, in float64.
        ends: where trajectories are after settling, ``(B, K, n)``.
        lost: which of them have reached no point, ``(B, K)``.
        inputs: ``(B, I)``.
        ranges: of the visited states, ``(B,)``.

    Returns:
        The cycles of each RNN, and the ends of its ``K`` trajectories, where they are on cycles.
    """
    found: list[list[Cycle]] = [[] for _ in ends]
    placed: list[list[End]] = [[None] * ends.shape[1] for _ in ends]
    rows = lost.any(1).nonzero()[:, 0]
    if not len(rows):
        return found, placed
    order = (~lost[rows]).int().argsort(dim=1, stable=True)[:, :FOLLOWED]
    starts = ends[rows].gather(1, order[:, :, None].expand(-1, -1, ends.shape[2]))
    passed = record(weights[rows], starts, inputs[rows], RECORDED - 1)
    candidates: list[tuple[int, Cycle]] = []
    for place, row in enumerate(rows.tolist()):
        own: list[Cycle] = []
        for states in passed[place][lost[row][order[place]]]:
            if not any(_is_on(states[:1], cycle).all() for cycle in own):
                period = find_period(states.numpy(), SMALLEST * float(ranges[row]))
                size = float((states - states.mean(0)).square().sum(1).mean().sqrt())
                own += [] if period is None else [Cycle(states, period, size, (0.0, 0.0))]
        candidates += [(row, cycle) for cycle in own]
    for row, cycle in _attracting(weights, inputs, candidates):
        found[row].append(cycle)
    for row in rows.tolist():
        for index, cycle in enumerate(found[row]):
            for end in (_is_on(ends[row], cycle) & lost[row]).nonzero()[:, 0].tolist():
                placed[row][end] = placed[row][end] or ("cycle", index)
        found[row] = [_once_round(cycle) for cycle in found[row]]
    return found, placed


def _attracting(
    weights: RNNWeights, inputs: Tensor, candidates: list[tuple[int, Cycle]]
) -> list[tuple[int, Cycle]]:
    """Measure the multipliers of orbits; keep those that attract."""
    if not candidates:
        return []
    rows = torch.tensor([row for row, _ in candidates])
    states = torch.stack([cycle.states for _, cycle in candidates])
    periods = states.new_tensor([cycle.period for _, cycle in candidates])
    measured = multipliers(weights[rows], states, inputs[rows], periods).tolist()
    pairs = zip(candidates, measured, strict=True)
    return [
        (row, replace(cycle, multipliers=(first, second)))
        for (row, cycle), (first, second) in pairs
        if is_limit_cycle(cycle.period, first, second)
    ]


def _is_on(states: Tensor, cycle: Cycle) -> Tensor:
    """Say which of the states ``(K, n)`` are on a cycle."""
    return torch.cdist(states, cycle.states).amin(1) <= BESIDE * cycle.size


def _once_round(cycle: Cycle) -> Cycle:
    """Keep one turn of a cycle whose steps are short, else all that was recorded."""
    steps = round(cycle.period)
    whole = (cycle.states[steps] - cycle.states[0]).norm() <= BESIDE * cycle.size
    return replace(cycle, states=cycle.states[: steps + 1] if whole else cycle.states)


def reached(
    found: FixedPoints,
    row: int,
    passed: Trajectories,
    points: Tensor,
    on_line: Tensor,
    scale: float,
) -> list[End]:
    """Return what is where the trajectories of an RNN are after settling.

    Args:
        found: searches, among them those from there, ``(B, K, n)``.
        row: which RNN.
        passed: the trajectories.
        points: places of its points among the searches.
        on_line: the line on which each search ended, or -1, ``(K,)``.
        scale: the range of its visited states.
    """
    own = passed.places
    states, radius = found.states[row, own], found.spectral_radius[row, own]
    apart = (states - passed.ends[row]).norm(dim=1)
    near, rests = apart <= ARRIVED * scale, apart <= RESTING * scale
    at_point = near & found.converged[row, own] & ((radius <= 1 + MARGIN) | rests)
    nearest = torch.cdist(states, found.states[row, points]).argmin(1) if len(points) else radius
    facts = zip(*(x.tolist() for x in (near, on_line[own], at_point, nearest)), strict=True)
    return [
        ("line", line) if close and line >= 0 else ("point", point) if arrived else None
        for close, line, arrived, point in facts
    ]
