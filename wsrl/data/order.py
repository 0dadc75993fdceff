"""Which snapshots, sequences and permutations a step reads: functions of the seed and the step.

Nothing here remembers what was drawn before, so a run that goes on after a stop, or on another
number of processes, reads what the first one would have read.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.problems.streams import Purpose, stream
from wsrl.rnn import RNNSpec, RNNWeights

Indices = NDArray[np.int64]


class RowOrder:
    """Deals out rows in passes: every row once in each pass, in a fresh order.

    Step ``n`` covers positions ``n * batch_size`` to ``(n + 1) * batch_size`` of all passes one
    after the other, so a batch can end one pass and begin the next. Of several ``key``s, each has
    orders of its own.
    """

    def __init__(self, rows: Indices, batch_size: int, seed: int, *key: int) -> None:
        self.rows, self.batch_size, self.seed, self.key = rows, batch_size, seed, key
        self._pass, self._order = -1, rows  # the last pass dealt from

    def of_step(self, step: int) -> Indices:
        """Return the rows ``(batch_size,)`` of one step."""
        return self.between(step * self.batch_size, (step + 1) * self.batch_size)

    def between(self, position: int, end: int) -> Indices:
        """Return the rows at positions from one to before another."""
        parts = [self.rows[:0]]
        while position < end:
            number, start = divmod(position, len(self.rows))
            if number != self._pass:
                key = (number, *self.key)
                self._order = stream(self.seed, Purpose.ORDER, *key).permutation(self.rows)
                self._pass = number
            parts.append(self._order[start : start + end - position])
            position += len(parts[-1])
        return np.concatenate(parts)


class EvenOrder:
    """Deals out the rows of several groups in turn, each group's as ``RowOrder`` does.

    Position ``p`` of all that is dealt out is of group ``p`` modulo the number of groups, so a
    batch, and every process's share of it, has as many of each to one.
    """

    def __init__(self, groups: Sequence[Indices], batch_size: int, seed: int) -> None:
        self.batch_size = batch_size
        filled = [rows for rows in groups if len(rows)]
        self._orders = [RowOrder(rows, 1, seed, index) for index, rows in enumerate(filled)]

    def of_step(self, step: int) -> Indices:
        """Return the rows ``(batch_size,)`` of one step."""
        start, count = step * self.batch_size, len(self._orders)
        found = np.empty(self.batch_size, np.int64)
        for index, order in enumerate(self._orders):
            first = (index - start) % count  # the group's first place in the batch
            own = found[first::count]
            position = (start + first) // count
            own[:] = order.between(position, position + len(own))
        return found


def deal_pairs(count: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[Indices]:
    """Deal out a split in pairs to processes and batches, for an evaluation.

    Position ``k`` goes with ``k + count // 2``, far off, since neighbours in a zoo are often
    snapshots of one run; an odd last one joins the last pair. Who goes with whom depends on
    ``count`` alone. Every position is dealt out once, in as many batches to each process, and each
    batch has positions from all over the split.

    Returns the batches of a process: at most ``batch_size`` positions (at least 2; then three can
    still come together), one pair after the other, the odd one at the end. Some are empty where
    pairs are too few to be dealt out evenly, never those of the first process.
    """
    pairs = max(1, count // 2)
    at_once = max(1, (batch_size - count % 2) // 2)
    batches = math.ceil(math.ceil(pairs / world_size) / at_once)
    own = np.arange(rank, pairs, world_size)
    return [_positions(own[first::batches], count) for first in range(batches)]


def _positions(pairs: Indices, count: int) -> Indices:
    half = count // 2
    if half == 0:  # a split of one has no pair
        return pairs
    positions = np.stack([pairs, pairs + half], 1).reshape(-1)
    return np.append(positions, count - 1) if count % 2 and half - 1 in pairs else positions


def training_picks(seed: int, step: int, batch: int, stored: int, count: int) -> Tensor:
    """Choose ``count`` different ones of ``stored`` sequences for each of ``batch`` RNNs."""
    draws = stream(seed, Purpose.SEQUENCES, step).random((batch, stored), dtype=np.float32)
    return torch.from_numpy(draws.argsort(1)[:, :count])


def fixed_picks(seed: int, rows: Indices, stored: int, count: int) -> Tensor:
    """Choose ``count`` different ones of ``stored`` sequences, a function of seed and row alone.

    Returns ``(len(rows), count)``. The numbers come from a hash (splitmix64, Steele et al. 2014) of
    the row: neither a generator a row nor a table of all rows is needed.
    """
    key = np.random.SeedSequence([seed, int(Purpose.SEQUENCES)]).generate_state(1, np.uint64)
    counter = (rows[:, None] * stored + np.arange(stored)).astype(np.uint64)
    mixed = key + counter * np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it should
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return torch.from_numpy(mixed.argsort(1)[:, :count])


def permutation_draws(seed: int, step: int, batch: int, specs: Sequence[RNNSpec]) -> list[Tensor]:
    """Draw a number for every hidden neuron of the RNNs of a step, ``(batch, H)`` a layer.

    There are as many neurons and layers as the largest of the specs has. In the order of an RNN's
    first numbers its neurons are permuted.
    """
    generator = stream(seed, Purpose.PERMUTATION, step)
    shape = (batch, max(spec.hidden_size for spec in specs))
    layers = max(spec.num_layers for spec in specs)
    return [torch.from_numpy(generator.random(shape)) for _ in range(layers)]


def permuted(weights: RNNWeights, draws: Sequence[Tensor]) -> RNNWeights:
    """Permute the hidden neurons of ``B`` RNNs by their ``permutation_draws``."""
    size, layers = weights.spec.hidden_size, weights.spec.num_layers
    return weights.permute([draw[:, :size].argsort(1) for draw in draws[:layers]])
