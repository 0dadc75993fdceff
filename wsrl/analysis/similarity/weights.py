"""How far apart the weights of RNNs are, after the best order and signs of their neurons.

An order of neurons acts on all their couplings at once, so that finding the best is a quadratic
assignment, for which no fast exact method is known. The search is Frank and Wolfe's on the convex
hull of the orders, by linear assignments (Vogelstein et al. 2015, "Fast approximate quadratic
programming for graph matching"), then by assignments alone, as re-basin has them (Ainsworth et al.
2023, "Git re-basin"), here with signs, several gates and layers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import factorial
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wsrl.analysis.similarity.comparable import (
    Part,
    comparable_parts,
    factors_of,
    no_weight_distance,
)
from wsrl.rnn import RNNWeights
from wsrl.rnn.usable import check_finite

_ALL = 5040
"""Orders, with signs, that are all tried: of 7 neurons, or of 5 whose signs may differ."""

_STARTS, _ROUNDS, _POLISHING = 2, 40, 20
_AT_ONCE = 2**22  # numbers of one part that are held at one time: 32 MiB


class WeightDistances(NamedTuple):
    """Distances ``(B, B)``: roots of sums of squared differences of weights, best aligned.

    ``exact`` says that no order of neurons is better: all were tried, or there is one assignment
    alone to make. Otherwise distances are upper bounds.
    """

    distances: Tensor
    exact: bool


@dataclass(frozen=True)
class _Pairs:
    """Pairs of RNNs, by the same parts of both, and how their neurons may be aligned."""

    ours: list[Part]
    theirs: list[Part]
    layers: int
    size: int
    signs: bool

    def some(self, rows: Tensor) -> "_Pairs":
        return replace(
            self,
            ours=[replace(part, values=part.values[rows]) for part in self.ours],
            theirs=[replace(part, values=part.values[rows]) for part in self.theirs],
        )


# For each layer and pair, how much of neuron j of theirs goes to neuron i of ours, with the sign
# kept, and with the sign changed: (2, L, P, H, H).
_Alignment = Tensor


def weight_distances(weights: RNNWeights) -> WeightDistances:
    """Return how far apart the weights of ``B`` RNNs of one spec are.

    What a cell's symmetries leave open is settled first, see ``comparable_parts``.

    Raises:
        ValueError: for a cell with symmetries that are not of single neurons, and for weights that
            are not finite.

    >>> from wsrl.rnn import RNNSpec, random_permutations
    >>> spec = RNNSpec("gru", 3, 12, 1, 2)
    >>> generator = torch.Generator().manual_seed(0)
    >>> one = RNNWeights(torch.randn(1, spec.num_parameters, generator=generator), spec)
    >>> twin = one.permute(random_permutations(spec, 1, generator))
    >>> found = weight_distances(RNNWeights.cat([one, twin]))
    >>> round(float(found.distances[0, 1]), 6), found.exact
    (0.0, False)
    """
    check_finite(weights)
    spec, count = weights.spec, len(weights)
    if reason := no_weight_distance(spec):
        raise ValueError(f"no distance of weights: {reason}")
    parts, factors = comparable_parts(weights), factors_of(spec)
    signs = factors is not None and factors.signs
    orders = factorial(min(spec.hidden_size, 20)) * (2**spec.hidden_size if signs else 1)
    tried = spec.num_layers == 1 and orders <= _ALL
    single = spec.num_layers == 1 and not any(p.rows == p.columns == 0 for p in parts)
    search: Callable[[_Pairs], _Alignment] = _try_all if tried else _search
    rows, columns = torch.triu_indices(count, count, 1)
    distances = torch.zeros(count, count, dtype=torch.float64)
    together = max(1, _AT_ONCE // max(spec.hidden_size**2, *(p.values[0].numel() for p in parts)))
    for some in torch.arange(len(rows)).split(together) if len(rows) else ():
        pairs = _Pairs(
            [replace(part, values=part.values[rows[some]]) for part in parts],
            [replace(part, values=part.values[columns[some]]) for part in parts],
            spec.num_layers,
            spec.hidden_size,
            signs,
        )
        aligned = _aligned(pairs, search(pairs))
        squares = [
            (mine.values - other).square().sum((1, 2))
            for mine, other in zip(pairs.ours, aligned, strict=True)
        ]
        distances[rows[some], columns[some]] = torch.stack(squares).sum(0).sqrt()
    return WeightDistances(distances + distances.T, tried or single)


def _sides(part: Part, alignment: _Alignment) -> tuple[Tensor | None, Tensor | None]:
    """Return what multiplies theirs from the left and, transposed, from the right."""
    (kept, changed), found = alignment, list[Tensor | None]()
    for layer, signed in ((part.rows, part.row_factors), (part.columns, part.column_factors)):
        if layer is None:
            found.append(None)
        else:
            found.append(kept[layer] - changed[layer] if signed else kept[layer] + changed[layer])
    return found[0], found[1]


def _aligned(pairs: _Pairs, alignment: _Alignment) -> list[Tensor]:
    """Return the parts of the other RNNs, their neurons in the order of ours."""
    found = []
    for part in pairs.theirs:
        (left, right), values = _sides(part, alignment), part.values
        values = values if left is None else left @ values
        found.append(values if right is None else values @ right.mT)
    return found


def _agreement(pairs: _Pairs, alignment: _Alignment) -> Tensor:
    """Return the inner product of aligned weights, ``(P,)``: the larger, the nearer they are."""
    aligned = zip(pairs.ours, _aligned(pairs, alignment), strict=True)
    sums = [(mine.values * other).sum((1, 2)) for mine, other in aligned]
    return sum(sums[1:], sums[0])


def _slopes(pairs: _Pairs, alignment: _Alignment) -> _Alignment:
    """Return the derivatives of the agreement by all entries of the alignment."""
    found = torch.zeros_like(alignment)

    def add(layer: int, signed: bool, slope: Tensor) -> None:
        found[0, layer] += slope
        found[1, layer] += -slope if signed else slope

    for mine, other in zip(pairs.ours, pairs.theirs, strict=True):
        left, right = _sides(other, alignment)
        if other.rows is not None:
            values = other.values if right is None else other.values @ right.mT
            add(other.rows, other.row_factors, mine.values @ values.mT)
        if other.columns is not None:
            values = other.values if left is None else left @ other.values
            add(other.columns, other.column_factors, mine.values.mT @ values)
    return found


def _assign(profits: _Alignment, signs: bool) -> _Alignment:
    """Return the best orders, and signs, for these profits of each neuron in each place."""
    best = torch.maximum(profits[0], profits[1]) if signs else profits[0]
    every = best.flatten(0, 1).numpy()
    chosen = np.stack([linear_sum_assignment(each, maximize=True)[1] for each in every])
    places = torch.from_numpy(chosen).view(*best.shape[:-1], 1)
    flipped = ((profits[1] > profits[0]) & signs).gather(-1, places)
    alignment = torch.zeros_like(profits)
    alignment[0].scatter_(-1, places, (~flipped).double())
    alignment[1].scatter_(-1, places, flipped.double())
    return alignment


def _search(pairs: _Pairs) -> _Alignment:
    """Search for the best orders: from the middle of all, and from some in its neighbourhood."""
    count, size = len(pairs.ours[0].values), pairs.size
    shape = (2, pairs.layers, count, size, size)
    middle = torch.zeros(shape, dtype=torch.float64)
    middle[: 1 + pairs.signs] = 1 / (size * (1 + pairs.signs))
    generator = torch.Generator().manual_seed(0)
    best, reached = middle, torch.full((count,), -torch.inf, dtype=torch.float64)
    for start in range(_STARTS):
        profits = torch.rand((2, pairs.layers, 1, size, size), generator=generator).double()
        drawn = _assign(profits, pairs.signs)  # one order for all pairs
        mixed = middle + (drawn - middle) / 2 if start else middle.clone()
        found = _polish(pairs, _assign(_relax(pairs, mixed), pairs.signs))
        height = _agreement(pairs, found)
        best = torch.where((height > reached)[None, None, :, None, None], found, best)
        reached = torch.maximum(reached, height)
    return best


def _relax(pairs: _Pairs, alignment: _Alignment) -> _Alignment:
    """Climb the agreement over mixtures of orders, by Frank and Wolfe's steps."""
    left = torch.arange(alignment.shape[2])
    reached = _agreement(pairs, alignment)
    for _ in range(_ROUNDS):
        own, here = pairs.some(left), alignment[:, :, left]
        towards = _assign(_slopes(own, here), pairs.signs) - here
        start, end = reached[left], _agreement(own, here + towards)
        bend = 2 * (end - 2 * _agreement(own, here + towards / 2) + start)
        slope = end - start - bend
        step = torch.where(bend < 0, (slope / (-2 * bend)).clamp(0, 1), (end > start).double())
        gain = slope * step + bend * step**2
        alignment[:, :, left] = here + step[None, None, :, None, None] * towards
        reached[left] = start + gain
        left = left[gain > 1e-6 * start.abs()]
        if len(left) == 0:
            break
    return alignment


def _polish(pairs: _Pairs, alignment: _Alignment) -> _Alignment:
    """Assign anew, with the others' order as it is, as long as that is better."""
    left, reached = torch.arange(alignment.shape[2]), _agreement(pairs, alignment)
    for _ in range(_POLISHING):
        own = pairs.some(left)
        trial = _assign(_slopes(own, alignment[:, :, left]), pairs.signs)
        value = _agreement(own, trial)
        better = value > reached[left] + 1e-9 * reached[left].abs()
        alignment[:, :, left[better]] = trial[:, :, better]
        reached[left[better]] = value[better]
        left = left[better]
        if len(left) == 0:
            break
    return alignment


def _try_all(pairs: _Pairs) -> _Alignment:
    """Try all orders of the neurons of one layer, with all signs."""
    size = pairs.size
    orders = torch.tensor([*permutations(range(size))])
    flips = torch.tensor([*product((0, 1), repeat=size)]) if pairs.signs else orders[:1] * 0
    orders, flips = orders.repeat_interleave(len(flips), 0), flips.repeat(len(orders), 1)
    every = torch.zeros(2, 1, len(orders), size, size, dtype=torch.float64)
    index = torch.arange(len(orders))[:, None], torch.arange(size)[None]
    every[flips, 0, index[0], index[1], orders] = 1
    found = []
    for pair in range(len(pairs.ours[0].values)):
        own = pairs.some(torch.tensor([pair]))
        found.append(every[:, :, _agreement(own, every).argmax()])
    return torch.stack(found, 2)
