"""Line attractors: curves of slow points along which one mode neither decays nor grows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wsrl.analysis.dynamics.settings import DynamicsSettings
from wsrl.rnn import RNNWeights, linearize_step

STEPS_OF_LEAST = 5
"""Steps of the shortest curve that counts as a line."""

LONGEST = 10.0
"""Ranges that a curve is followed for in either direction; some have no end."""

NEAR_ONE = 0.05
"""How far the eigenvalue along the curve may be from 1."""

FASTER = 10.0
"""How many times faster than the line is left all other modes decay."""

MOST_LINES = 3
"""Curves of one RNN that are followed."""

CORRECTIONS, CHECKED = 2, 9
"""Newton steps back to the curve, after each step along it; points whose spectrum is checked."""


@dataclass(frozen=True)
class Line:
    """A line attractor, or a ring.

    Attributes:
        states: along it, ``(m, n)``.
        length: of the curve.
        closed: whether it is a ring.
        speed: the largest ``|F(x) - x|`` on it.
    """

    states: Tensor
    length: float
    closed: bool
    speed: float


def has_line_mode(eigenvalues: Tensor, settings: DynamicsSettings) -> Tensor:
    """Say at which points ``(..., n)`` exactly one mode lasts, and neither decays nor grows.

    Its eigenvalue is near 1, and all others decay faster than it does, and fast enough to be gone
    while a line holds.
    """
    distance = (eigenvalues - 1).abs().nan_to_num(torch.inf, torch.inf)
    nearest = distance.amin(-1)
    along = distance.argmin(-1, keepdim=True)
    others = eigenvalues.abs().scatter(-1, along, -torch.inf).amax(-1)
    slowest = 1 - torch.clamp(nearest, min=FASTER / settings.hold)
    real = eigenvalues.gather(-1, along)[..., 0].imag == 0
    found: Tensor = real & (nearest <= NEAR_ONE) & (others < slowest)
    return found


def find_lines(
    weights: RNNWeights, seeds: Tensor, inputs: Tensor, ranges: Tensor, settings: DynamicsSettings
) -> list[Line | None]:
    """Follow the curve of slow points through one point of each of ``B`` RNNs.

    It is followed in both directions by small steps along it and Newton steps back to it
    (continuation by pseudo-arclength; Keller 1977): of a state off by ``dx`` these find
    ``(I - A) dx + m v = F(x) - x`` and ``v dx = 0``, so that what is left of the motion is along
    the curve. It ends where states move too fast.

    Args:
        weights: ``B`` RNNs, in float64.
        seeds: points where ``has_line_mode`` is true, ``(B, n)``.
        inputs: ``(B, I)``.
        ranges: of the RNNs' visited states, ``(B,)``.
        settings: what counts as a line.

    Returns:
        The line of each RNN, ``None`` where the curve is short, or other modes last on it.
    """
    if not len(seeds):
        return []
    tangents = _along(linearize_step(weights, seeds, inputs)[1])
    both = RNNWeights(torch.cat([weights.flat] * 2), weights.spec)
    starts, twice = torch.cat([seeds] * 2), torch.cat([inputs] * 2)
    least = settings.extent * torch.cat([ranges] * 2)
    curves, closed = _follow(both, starts, torch.cat([tangents, -tangents]), twice, least, settings)
    count, found = len(seeds), list[Line | None]()
    for index in range(count):
        ahead, behind = curves[index], curves[index + count]
        states = ahead if closed[index] else torch.cat([behind.flip(0), ahead[1:]])
        ring = torch.cat([states, states[:1]]) if closed[index] else states
        length = float(ring.diff(dim=0).norm(dim=1).sum())
        long = length >= settings.extent * float(ranges[index])
        found.append(Line(states, length, closed[index], 0.0) if long else None)
    return _check(weights, inputs, found, settings)


def _follow(
    weights: RNNWeights,
    seeds: Tensor,
    tangents: Tensor,
    inputs: Tensor,
    least: Tensor,
    settings: DynamicsSettings,
) -> tuple[list[Tensor], list[bool]]:
    """Return the states passed from each seed on, ``(m, n)``, and whether they come back to it."""
    step, fastest = least / STEPS_OF_LEAST, least / settings.hold
    curves, closed = [[seed] for seed in seeds], [False] * len(seeds)
    rows, state, ahead = torch.arange(len(seeds)), seeds, tangents
    for taken in range(1, 1 + round(LONGEST * STEPS_OF_LEAST / settings.extent)):
        if not len(rows):
            break
        own, driven = weights[rows], inputs[rows]
        guess = state + step[rows, None] * ahead
        there, gap = guess, torch.zeros_like(guess)
        for correction in range(1 + CORRECTIONS):
            image, recurrent = linearize_step(own, there, driven)
            gap = image - there
            if correction < CORRECTIONS:
                there = there + _correction(recurrent, ahead, gap)
        moved = there - state
        slow = gap.norm(dim=1) <= fastest[rows]
        near = (there - guess).norm(dim=1) <= step[rows]
        back = (there - seeds[rows]).norm(dim=1) <= 0.6 * step[rows]
        back &= (ahead * tangents[rows]).sum(1) > 0.5
        kept = slow & near & there.isfinite().all(1)
        for place, row in enumerate(rows.tolist()):
            closed[row] = bool(kept[place] & back[place]) and taken > STEPS_OF_LEAST
            if kept[place] and not closed[row]:
                curves[row].append(there[place])
        kept &= ~torch.tensor([closed[row] for row in rows.tolist()], dtype=torch.bool)
        rows, state = rows[kept], there[kept]
        ahead = moved[kept] / moved[kept].norm(dim=1, keepdim=True)
    return [torch.stack(curve) for curve in curves], closed


def _along(recurrent: Tensor) -> Tensor:
    """Return unit vectors ``(B, n)`` that belong to the eigenvalues nearest to 1."""
    values, vectors = torch.linalg.eig(recurrent)
    nearest = (values - 1).abs().argmin(1)
    chosen: Tensor = vectors.mT[torch.arange(len(values)), nearest].real
    return chosen.div(chosen.norm(dim=1, keepdim=True))


def _correction(recurrent: Tensor, ahead: Tensor, gap: Tensor) -> Tensor:
    """Return the step back to the curve, orthogonal to it; NaN where there is none."""
    count, size = gap.shape
    bordered = gap.new_zeros(count, size + 1, size + 1)
    bordered[:, :size, :size] = torch.eye(size).to(gap) - recurrent
    bordered[:, :size, size] = bordered[:, size, :size] = ahead
    right = torch.cat([gap, gap.new_zeros(count, 1)], 1)
    solution, wrong = torch.linalg.solve_ex(bordered, right)
    found: Tensor = solution[:, :size].masked_fill(wrong[:, None] != 0, torch.nan)
    return found


def _check(
    weights: RNNWeights, inputs: Tensor, found: Sequence[Line | None], settings: DynamicsSettings
) -> list[Line | None]:
    """Drop curves where other modes last as well; note how fast states move on the others."""
    checked = list[Line | None]()
    for index, line in enumerate(found):
        if line is None:
            checked.append(None)
            continue
        places = torch.linspace(0, len(line.states) - 1, CHECKED).round().long().unique()
        points, row = line.states[places], torch.full((len(places),), index)
        image, recurrent = linearize_step(weights[row], points, inputs[row])
        lasting = has_line_mode(torch.linalg.eigvals(recurrent), settings)
        speed = float((image - points).norm(dim=1).max())
        checked.append(replace(line, speed=speed) if lasting.all() else None)
    return checked


def lines_through(
    weights: RNNWeights,
    states: Tensor,
    eigenvalues: Tensor,
    points: list[Tensor],
    inputs: Tensor,
    ranges: Tensor,
    settings: DynamicsSettings,
) -> list[list[Line]]:
    """Follow curves from points where one mode lasts, until none is left that is on no curve."""
    lines: list[list[Line]] = [[] for _ in points]
    waiting = [
        at[has_line_mode(eigenvalues[row, at], settings)].tolist() for row, at in enumerate(points)
    ]
    for _ in range(MOST_LINES):
        rows = torch.tensor([row for row, at in enumerate(waiting) if at], dtype=torch.long)
        if not len(rows):
            break
        first = torch.tensor([waiting[row][0] for row in rows.tolist()])
        seeds = states[rows, first]
        followed = find_lines(weights[rows], seeds, inputs[rows], ranges[rows], settings)
        for row, line in zip(rows.tolist(), followed, strict=True):
            lines[row] += [line] if line else []
            at = waiting[row][1:]
            free = lines_of(states[row][at], lines[row], settings) < 0
            waiting[row] = [place for place, f in zip(at, free.tolist(), strict=True) if f]
    return lines


def lines_of(states: Tensor, lines: list[Line], settings: DynamicsSettings) -> Tensor:
    """Return of each state ``(K, n)`` the line that it lies on, or -1."""
    found = torch.full((len(states),), -1)
    for index, line in enumerate(lines):
        step = line.states.diff(dim=0).norm(dim=1).max()
        near = torch.cdist(states, line.states).amin(1) <= step
        found[near & (found < 0)] = index
    return found
