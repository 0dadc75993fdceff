"""Limit cycles: trajectories that come back to where they were, and attract what is beside them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.rnn import RNNWeights, linearize_step

RECORDED = 1024
"""Steps of a settled trajectory in which it must come back, several times."""

SAME = 1e-4
"""Difference of two states, as a share of the orbit's size, that makes them one state."""

RETURNED = 0.02
"""Difference of two passages through a section, as a share of the orbit's size."""

LONGEST_ORBIT, MOST_LAG = 128, 16
SMOOTH = 0.6
"""The longest step, as a share of the orbit's size, at which its passages can be interpolated."""

ALIGNED, MEASURED = 64, 256
"""Steps for which small differences grow before their growth counts, and for which it counts."""

ATTRACTING = 0.98
"""Multiplier below which an orbit attracts what is beside it."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cycle:
    """A limit cycle.

    Attributes:
        states: in the order of time, once round it or for all of a long orbit, ``(m, n)``.
        period: mean steps of a turn; a whole number where states themselves come back.
        size: root mean square distance from its mean.
        multipliers: moduli of the two largest: how much larger, after a turn, a small difference
            is. The first is 1 where it is one along a cycle of no whole period.
    """

    states: Tensor
    period: float
    size: float
    multipliers: tuple[float, float]


def find_period(states: Array, least: float) -> float | None:
    """Return the period of a settled trajectory ``(T, n)``; ``None`` if it does not come back.

    A trajectory comes back where it passes a section (a plane across it) at the same state again
    and again, at regular times, as a flow does (Poincare's return map). Passages lie between two
    steps and are interpolated by cubics, so that a step must be short compared with the orbit; of
    an RNN that makes longer ones, every ``q``-th step is taken. Where states themselves come back
    after some steps, that is the period.

    Args:
        states: in float64.
        least: smaller orbits are points.

    >>> angles = np.arange(RECORDED)[:, None] * 2 * np.pi / 20.5
    >>> print(find_period(np.hstack([np.cos(angles), np.sin(angles)]), 0.01))
    20.5
    """
    size = float(np.sqrt(np.square(states - states.mean(0)).sum(1).mean()))
    if not math.isfinite(size) or size < least:
        return None
    moves = [float(np.linalg.norm(states[q:] - states[:-q], axis=1).mean()) for q in _LAGS]
    if moves[0] <= SMOOTH * size and (period := _returns(states, size)):
        return round(period, 4)
    for steps in range(1, LONGEST_ORBIT + 1):
        apart = np.linalg.norm(states[-LONGEST_ORBIT:] - _before(states, steps), axis=1)
        if apart.max() <= SAME * size:
            return float(steps) if steps > 1 else None
    # The longest of the short steps: the most turns.
    lag = max(_LAGS, key=lambda q: (moves[q - 1] <= SMOOTH * size, moves[q - 1]))
    turn = _returns(states[::lag], size) if moves[lag - 1] <= SMOOTH * size else None
    return None if turn is None else round(1 / _frequency(states, lag, turn), 4)


_LAGS = range(1, MOST_LAG + 1)


def _before(states: Array, steps: int) -> Array:
    return states[-LONGEST_ORBIT - steps : -steps]


def _returns(states: Array, size: float) -> float | None:
    """Return the mean time between passages through a section, where all are at one state."""
    middle = len(states) // 2
    reference, across = states[middle], states[middle + 1] - states[middle - 1]
    side = (states - reference) @ across
    near = np.linalg.norm(states - reference, axis=1) <= size
    before = np.flatnonzero((side[1:-2] <= 0) & (side[2:-1] > 0) & near[1:-2]) + 1
    if len(before) < 4:
        return None
    nodes = before[:, None] + np.arange(-1, 3)
    around = side[nodes]
    share = -around[:, 1] / (around[:, 2] - around[:, 1])
    for _ in range(4):  # secant steps from the straight line's crossing to the cubic's
        value = (_cubic(share) * around).sum(1)
        share = np.clip(share - value / (around[:, 2] - around[:, 1]), 0, 1)
    places = np.einsum("kp,kpn->kn", _cubic(share), states[nodes])
    apart = np.linalg.norm(places - places.mean(0), axis=1).max()
    times = np.diff(before + share)
    if apart > RETURNED * size or np.ptp(times) > 2 * RETURNED * times.mean() + 0.1:
        return None
    return float(times.mean())


def _cubic(share: Array) -> Array:
    """Return the weights ``(k, 4)`` of points at -1, 0, 1 and 2 in the cubic through them."""
    f = share[:, None]
    parts = [-f * (f - 1) * (f - 2) / 6, (f + 1) * (f - 1) * (f - 2) / 2]
    return np.hstack([*parts, -(f + 1) * f * (f - 2) / 2, (f + 1) * f * (f - 1) / 6])


def _frequency(states: Array, lag: int, turn: float) -> float:
    """Return turns a step of an orbit that turns once in ``turn`` times ``lag`` steps.

    In ``lag`` steps it makes a whole number of turns and a bit: which, its spectrum says.
    """
    centred = states - states.mean(0)
    main = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    power = np.abs(np.fft.rfft(main * np.hanning(len(main))))
    peak = power.argmax() / len(main)
    choices = [(whole + sign / turn) / lag for whole in range(lag + 1) for sign in (-1, 1)]
    return min((c for c in choices if c > 0), key=lambda choice: abs(choice - peak))


def multipliers(weights: RNNWeights, states: Tensor, inputs: Tensor, periods: Tensor) -> Tensor:
    """Return the moduli of the two largest multipliers of an orbit of each of ``M`` RNNs.

    They are measured by how two small differences grow along the orbit (Benettin et al. 1980).

    Args:
        weights: ``M`` RNNs, in float64.
        states: along the orbits, ``(M, T, n)``.
        inputs: ``(M, I)``.
        periods: ``(M,)``.

    Returns:
        ``(M, 2)``; of RNNs of one number, 0 is the second.
    """
    count, _, size = states.shape
    vectors = torch.linalg.qr(torch.randn(size, min(2, size), generator=_generator()).to(states))[0]
    vectors = vectors.expand(count, -1, -1)
    turns = (MEASURED / periods).floor().clamp(min=1)
    last = (turns * periods).round().clamp(max=MEASURED)
    growth = states.new_zeros(count, vectors.shape[2])
    for step in range(ALIGNED + MEASURED):
        _, recurrent = linearize_step(weights, states[:, step], inputs)
        vectors, triangle = torch.linalg.qr(recurrent @ vectors)
        counted = (step >= ALIGNED) & (step < ALIGNED + last)
        logs = triangle.diagonal(dim1=1, dim2=2).abs().clamp(min=1e-30).log()
        growth += torch.where(counted[:, None], logs, 0)
    found = (growth / last[:, None] * periods[:, None]).exp()
    return torch.cat([found, torch.zeros_like(found)], 1)[:, :2]


def is_limit_cycle(period: float, first: float, second: float) -> bool:
    """Say whether small differences across the orbit shrink; those along it may last."""
    if period == round(period) and first < 1 - (1 - ATTRACTING) / 10:
        return True  # a periodic orbit, whose own states attract
    return second < ATTRACTING and abs(math.log(max(first, 1e-30))) <= 0.1


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
