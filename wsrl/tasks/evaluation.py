"""What the modules are evaluated on beside batches: the data, the problem, and clones.

A clone is the emulator that runs freely in the place of an RNN. Remarks name, before any work,
metrics that are not defined on the data, and constant targets.
"""

# ruff: noqa: D102  what a protocol's methods return is said where they are written
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.rnn import PreparedPopulation, RNNs, State
from wsrl.tasks.emulator import ConditionedEmulator, EmulatorState
from wsrl.tasks.metrics import is_constant

Runner: TypeAlias = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""Runs ``B`` models: inputs ``(B, S, T, I)`` and a state to outputs ``(B, S, T, O)`` and a state"""

_GOLDEN = 0.6180339887498949


class EvaluatedProblem(Protocol):
    """The part of a problem (``wsrl.problems.Problem``) that evaluation reads."""

    @property
    def scores_clones(self) -> bool: ...
    @property
    def task_period(self) -> float | None: ...
    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor: ...
    def input_names(self) -> tuple[str, ...]: ...
    def output_names(self) -> tuple[str, ...]: ...
    def task_entries(self) -> tuple[str, ...]: ...
    def prepare(self) -> None: ...
    def as_images(self, inputs: Tensor) -> Tensor | None: ...


class EvaluationData(Protocol):
    """The part of a datamodule (``wsrl.data.ZooDataModule``) that evaluation reads."""

    @property
    def problem(self) -> EvaluatedProblem: ...
    def eval_splits(self, stage: str) -> list[str]: ...
    def rows(self, split: str) -> NDArray[np.int64]: ...
    def read_target(self, name: str, split: str) -> Tensor: ...


def partners(count: int) -> Tensor:
    """Return the other RNN ``(count,)`` of each in a batch of evaluation of at least two.

    Such a batch holds one pair after the other; an odd one at the end makes three with the last
    pair, in a circle.
    """
    index = torch.arange(count) ^ 1
    if count % 2:
        index[-3:] = torch.arange(count - 3, count).roll(-1)
    return index


def chosen_rows(rows: NDArray[np.int64], count: int) -> Tensor:
    """Choose at most ``count`` rows ``(R,)`` of a split: a function of the split alone.

    One is out of each of as many equal parts of the split. They are not evenly spaced: evenly
    spaced rows could all be in one batch or in one process.
    """
    count = min(count, len(rows))
    parts = np.arange(count + 1) * len(rows) // max(count, 1)
    within = np.arange(count) * _GOLDEN % 1  # a low-discrepancy sequence without a period
    return torch.from_numpy(rows[parts[:-1] + (within * np.diff(parts)).astype(np.int64)])


def score_clones(
    problem: EvaluatedProblem,
    emulator: ConditionedEmulator,
    embedding: Tensor,
    weights: RNNs,
    tasks: Tensor,
    samples: int,
    seeds: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Let ``B`` RNNs, and the emulator given ``embedding (B, D)``, run freely; score both.

    Each is scored on ``samples`` sequences of its own task, ``(B, K)``. An RNN and its clone draw
    the same numbers, from one of ``B`` seeds, so that only the models differ.

    Returns:
        The scores of the originals and of the clones, each ``(B,)``; 0 for one that is not defined.
    """
    originals = PreparedPopulation(weights)

    def original(inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        return originals(inputs.to(weights.dtype), state)

    def clone(inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        given = inputs.to(embedding.dtype), cast(EmulatorState, state)
        return cast(tuple[Tensor, State], emulator(embedding, *given))

    scores = []
    for run in (original, clone):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        score = problem.clone_scores(run, tasks, samples, generators)
        scores.append(score.to(embedding.dtype).nan_to_num(nan=0.0))
    return scores[0], scores[1]


class Remark(NamedTuple):
    """A remark on the data."""

    text: str


def remarks_on_target(
    data: EvaluationData, splits: Sequence[str], name: str, lost: tuple[str, ...]
) -> list[Remark]:
    """Say in which splits a property that is predicted is the same of all RNNs.

    There metrics that are ``lost`` are not defined, and from ``train`` there is nothing to learn.
    """
    found = []
    for split in splits:
        target = data.read_target(name, split)
        if not bool(is_constant(target).any()):
            continue
        text = f"all {len(target)} RNNs of {split} have the same {name}"
        if split == "train":
            found.append(Remark(f"{text}: there is nothing to learn"))
        elif lost or len(target) > 1:
            found.append(_undefined(split, lost, text if len(target) > 1 else None))
    return found


def remarks_on_shuffling(
    data: EvaluationData, splits: Sequence[str], losses: Sequence[str]
) -> list[Remark]:
    """Say in which splits, of one RNN, none can be emulated from the embedding of another."""
    names = [f"shuffled_{loss}" for loss in losses]
    return [_undefined(split, names) for split in splits if len(data.rows(split)) == 1]


def _undefined(split: str, names: Sequence[str], why: str | None = None) -> Remark:
    effect = f": {' and '.join(names)} not defined there (null)" if names else ""
    return Remark(f"{why or f'{split} holds 1 RNN'}{effect}")
