"""Clones: the emulator runs freely in the place of an RNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.rnn import PreparedPopulation, RNNWeights, State
from wsrl.tasks.emulator import ConditionedEmulator, EmulatorState

Runner: TypeAlias = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""Runs ``B`` models: inputs ``(B, S, T, I)`` and a state to outputs ``(B, S, T, O)`` and a state.
"""

_GOLDEN = 0.6180339887498949


ScoreClones: TypeAlias = Callable[[Runner, Tensor, int, Sequence[torch.Generator]], Tensor]
"""A problem's ``clone_scores``: scores ``(B,)`` of models on their tasks ``(B, K)``."""


def chosen_rows(rows: NDArray[np.int64], count: int) -> Tensor:
    """Choose RNNs of a split to score clones of: a function of the split alone.

    Args:
        rows: ``(R,)``, the rows of the split.
        count: how many; at most all.

    Returns:
        ``(count,)``, one out of each of ``count`` equal parts of the split. They are not evenly
        spaced: evenly spaced rows could all be in one batch or in one process.
    """
    count = min(count, len(rows))
    parts = np.arange(count + 1) * len(rows) // max(count, 1)
    within = np.arange(count) * _GOLDEN % 1  # a low-discrepancy sequence without a period
    return torch.from_numpy(rows[parts[:-1] + (within * np.diff(parts)).astype(np.int64)])


def score_clones(
    clone_scores: ScoreClones,
    emulator: ConditionedEmulator,
    embedding: Tensor,
    weights: RNNWeights,
    tasks: Tensor,
    samples: int,
    seeds: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Let RNNs and their clones run freely and score both.

    Args:
        clone_scores: of the problem that the RNNs were trained on.
        emulator: runs as the clones.
        embedding: of each RNN, ``(B, D)``.
        weights: the ``B`` RNNs.
        tasks: what each was trained for, ``(B, K)``.
        samples: sequences a model is scored on.
        seeds: ``B`` seeds, one for what each RNN samples; its clone draws the same numbers, so that
            only the models differ.

    Returns:
        The scores of the originals and of the clones, each ``(B,)``. A score that is not defined
        (NaN) counts as 0.
    """
    originals = PreparedPopulation(weights)

    def original(inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        return originals(inputs.to(weights.flat.dtype), state)

    def clone(inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        inputs = inputs.to(embedding.dtype)
        outputs: tuple[Tensor, State] = emulator(embedding, inputs, cast(EmulatorState, state))
        return outputs

    scores = []
    for run in (original, clone):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        score = clone_scores(run, tasks, samples, generators)
        scores.append(score.to(embedding.dtype).nan_to_num(nan=0.0))
    return scores[0], scores[1]
