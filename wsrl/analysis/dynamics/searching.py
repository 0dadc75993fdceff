"""Search for all that makes up the dynamics of many RNNs."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wsrl.analysis.dynamics.lines import lines_of, lines_through
from wsrl.analysis.dynamics.portrait import MARGIN, Connection, Portrait
from wsrl.analysis.dynamics.settings import DynamicsSettings
from wsrl.analysis.dynamics.settling import Trajectories, find_cycles, reached
from wsrl.rnn import (
    FixedPoints,
    RNNWeights,
    find_fixed_points,
    linearize_step,
    settled_states,
)
from wsrl.rnn.usable import check_finite

PAIRS = 32
"""Pairs of stable points of an RNN between which, in a round, others are searched for."""

ROUNDS, DIRECTIONS, DEPARTURES = 4, 2, 16
"""Rounds of trajectories (only those after the first start beside unstable points), unstable
directions of a point along which they start, and the most that start in a round of one RNN."""

PUSHED = 1e-2
"""How far from a point these start, as a share of the range."""


def find_portraits(
    weights: RNNWeights,
    visited: Tensor,
    inputs: Tensor | None = None,
    settings: DynamicsSettings | None = None,
) -> list[Portrait]:
    """Find fixed points, slow points, lines and cycles of ``B`` RNNs, and what connects them.

    Fixed points are searched for from the visited states, from zero, and from where trajectories
    from there settle. Trajectories also start beside unstable points, both ways along their two
    fastest directions: up to 48 of an RNN, first at points with the fewest unstable directions. All
    is in float64.

    Args:
        weights: ``B`` RNNs.
        visited: states that they pass in their work, ``(B, K, n)``, as of ``visited_states``.
        inputs: the constant input, ``(B, I)``; zeros by default.
        settings: how.

    Returns:
        A portrait of each RNN.

    Raises:
        ValueError: for shapes that do not fit, and for weights that are not finite.

    >>> from wsrl.rnn import RNNSpec
    >>> spec = RNNSpec("tanh", 1, 1, 1, 1, bias=False)
    >>> weights = RNNWeights(torch.tensor([[1.0, 2.0, 1.0]]), spec)  # h = tanh(2 h)
    >>> (found,) = find_portraits(weights, torch.tensor([[[-1.0], [0.0], [1.0]]]))
    >>> [round(state, 3) for state in found.states[:, 0].tolist()], found.kinds
    ([-0.958, 0.0, 0.958], ['stable', 'unstable', 'stable'])
    >>> sorted(connection.which for connection in found.connections)
    [0, 2]
    """
    check_finite(weights)
    settings = settings or DynamicsSettings()
    weights = RNNWeights(weights.flat.detach().double(), weights.spec)
    visited = visited.detach().double()
    if inputs is None:
        inputs = visited.new_zeros(len(weights), weights.spec.input_size)
    inputs = inputs.double()
    ranges = _ranges(visited)
    found, passed = _explore(weights, visited, inputs, ranges, settings)
    fastest, within = settings.extent * ranges / settings.hold, settings.same_within * ranges
    points = [
        _distinct_points(found, row, float(fastest[row]), float(within[row]))
        for row in range(len(weights))
    ]
    lines = lines_through(
        weights, found.states, found.eigenvalues, points, inputs, ranges, settings
    )
    on_line = [lines_of(found.states[row], own, settings) for row, own in enumerate(lines)]
    arrived = [
        reached(found, row, passed, points[row], on_line[row], float(ranges[row]))
        for row in range(len(weights))
    ]
    lost = torch.tensor([[end is None for end in own] for own in arrived])
    lost &= passed.ends.isfinite().all(2)
    lost[:, visited.shape[1] :] &= passed.sources[:, visited.shape[1] :] >= 0
    cycles, on_cycles = find_cycles(weights, passed.ends, lost, inputs, ranges)
    portraits = []
    for row, at in enumerate(points):
        own = [one or other for one, other in zip(arrived[row], on_cycles[row], strict=True)]
        pairs = zip(passed.sources[row].tolist(), own, strict=True)
        place = {index: position for position, index in enumerate(at.tolist())}
        portraits.append(
            Portrait(
                states=found.states[row, at],
                residual=found.residual[row, at],
                fixed=found.converged[row, at],
                eigenvalues=found.eigenvalues[row, at],
                line=on_line[row][at],
                lines=lines[row],
                cycles=cycles[row],
                connections=sorted(
                    {Connection(place[s], *end) for s, end in pairs if end and s in place}
                ),
                ends=own[: visited.shape[1]],
                range=float(ranges[row]),
            )
        )
    return portraits


def _explore(
    weights: RNNWeights, visited: Tensor, inputs: Tensor, ranges: Tensor, settings: DynamicsSettings
) -> tuple[FixedPoints, Trajectories]:
    """Search from visited states and zero, from where trajectories settle, and between points."""
    within = settings.same_within * ranges

    def search(starts: Tensor) -> FixedPoints:
        return find_fixed_points(weights, starts, inputs, same_within=within)

    found = search(torch.cat([visited, torch.zeros_like(visited[:, :1])], 1))
    begun, left = visited, torch.full(visited.shape[:2], -1)
    passed, searched = Trajectories(begun[:, :0], left[:, :0], left.new_zeros(0)), 0
    for _ in range(ROUNDS):
        ends = settled_states(weights, begun, inputs, settings.settling)
        places = torch.arange(ends.shape[1]) + found.states.shape[1]
        found = found.joined(search(ends.nan_to_num(0, 0, 0)), within)
        passed = passed.joined(Trajectories(ends, left, places))
        between = _between(found, searched)
        searched = found.states.shape[1]
        if between.shape[1]:
            found = found.joined(search(between), within)
        begun, left = _departures(weights, found, inputs, ranges, passed.sources)
        if not begun.shape[1]:
            break
    return found, passed


def _between(found: FixedPoints, searched: int) -> Tensor:
    """Return the middles of stable points, the nearest pairs of each RNN first, ``(B, M, n)``.

    Between those of the first searches others were searched for before. Where an RNN has fewer
    pairs than others, zeros fill the place.
    """
    stable = found.distinct & (found.spectral_radius < 1 - MARGIN)
    middles = []
    for states, own in zip(found.states, stable, strict=True):
        places = own.nonzero()[:, 0]
        one, other = torch.combinations(places).T
        one, other = one[other >= searched], other[other >= searched]
        nearest = (states[one] - states[other]).norm(dim=1).argsort()[:PAIRS]
        middles.append((states[one] + states[other])[nearest] / 2)
    return pad_sequence(middles, batch_first=True)


def _ranges(visited: Tensor) -> Tensor:
    """Return twice the root mean square distance from the mean, ``(B,)``; 1 where it is zero."""
    spread = 2 * (visited - visited.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    return torch.where(spread > 0, spread, 1.0)


def _departures(
    weights: RNNWeights, found: FixedPoints, inputs: Tensor, ranges: Tensor, left: Tensor
) -> tuple[Tensor, Tensor]:
    """Return states beside unstable points ``(B, D, n)``, and which points these are ``(B, D)``.

    Those that were left before are not left again. Of RNNs with fewer departures than others, zeros
    with the point -1 fill the place.
    """
    size = found.states.shape[2]
    states = found.states.new_zeros(len(ranges), DEPARTURES, size)
    sources = torch.full((len(ranges), DEPARTURES), -1)
    growing = (found.eigenvalues.abs() > 1 + MARGIN).sum(2)
    new = found.distinct & (growing > 0)
    for row, old in enumerate(left):
        new[row, old[old >= 0]] = False
    rows, points = new.nonzero().T
    order = growing[rows, points].argsort(dim=0, stable=True)  # saddles first
    rows, points = rows[order], points[order]
    if not len(rows):
        return states[:, :0], sources[:, :0]
    at = found.states[rows, points]
    values, vectors = torch.linalg.eig(linearize_step(weights[rows], at, inputs[rows])[1])
    largest = values.abs().argsort(1, descending=True)
    filled = [0] * len(ranges)
    for which, (row, point) in enumerate(zip(rows.tolist(), points.tolist(), strict=True)):
        for mode in largest[which, : min(DIRECTIONS, int(growing[row, point]))].tolist():
            direction = vectors[which, :, mode].real
            push = PUSHED * ranges[row] * direction / direction.norm().clamp(min=1e-30)
            for signed in (push, -push):
                if filled[row] < DEPARTURES:
                    states[row, filled[row]] = at[which] + signed
                    sources[row, filled[row]] = point
                    filled[row] += 1
    return states[:, : max(filled)], sources[:, : max(filled)]


def _distinct_points(found: FixedPoints, row: int, fastest: float, within: float) -> Tensor:
    """Return the places of an RNN's fixed points, and of its slow points beside no other one."""
    kept = found.distinct[row].nonzero()[:, 0].tolist()
    slow = (found.slow[row] & (found.residual[row] <= fastest)).nonzero()[:, 0]
    for place in slow[found.residual[row][slow].argsort()].tolist():
        apart = (found.states[row, kept] - found.states[row, place]).norm(dim=1)
        if not (apart <= within).any():
            kept.append(place)
    return torch.tensor(kept, dtype=torch.long)
