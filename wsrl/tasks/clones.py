"""Clones: the emulator running freely in the place of an RNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, cast

import torch
from torch import Tensor

from wsrl.rnn import PreparedPopulation, RNNWeights, State
from wsrl.tasks.emulator import ConditionedEmulator, EmulatorState

Runner: TypeAlias = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""Runs ``B`` models: inputs ``(B, S, T, I)`` and a state to outputs ``(B, S, T, O)`` and a state.
"""


class CloneScorer(Protocol):
    """The part of a problem that judges free-running models."""

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generator: torch.Generator
    ) -> Tensor:
        """Score ``B`` models on their tasks ``(B, K)``: ``(B,)``."""


def score_clones(
    scorer: CloneScorer,
    emulator: ConditionedEmulator,
    embedding: Tensor,
    weights: RNNWeights,
    tasks: Tensor,
    samples: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Let RNNs and their clones run freely and score both.

    Args:
        scorer: the problem that the RNNs were trained on.
        emulator: plays the clones.
        embedding: tells it of each RNN, ``(B, D)``.
        weights: the ``B`` RNNs.
        tasks: what each was trained for, ``(B, K)``.
        samples: sequences a model is scored on.
        generator: where random choices come from; originals and clones draw the same numbers, so
            that only the models make them differ.

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

    begin = generator.get_state()
    scores = []
    for run in (original, clone):
        generator.set_state(begin)
        score = scorer.clone_scores(run, tasks, samples, generator)
        scores.append(score.to(embedding.dtype).nan_to_num(nan=0.0))
    return scores[0], scores[1]
