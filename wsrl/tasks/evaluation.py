"""What the modules need of the data beside its batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.tasks.clones import Runner


class EvaluatedProblem(Protocol):
    """The part of a problem that evaluation reads."""

    @property
    def scores_clones(self) -> bool:
        """Whether ``clone_scores`` can be asked."""

    @property
    def task_period(self) -> float | None:
        """For tasks that are one number on a circle, what goes once round it."""

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Score ``B`` models on their tasks ``(B, K)``, each with its generator: ``(B,)``."""

    def input_names(self) -> tuple[str, ...]:
        """Return what the entries of an input stand for; empty where nobody says."""

    def output_names(self) -> tuple[str, ...]:
        """Return what the entries of an output stand for; empty where nobody says."""

    def task_entries(self) -> tuple[str, ...]:
        """Return the names of a task's entries; empty where there are none."""

    def prepare(self) -> None:
        """Make sure that what ``clone_scores`` needs is there."""

    def as_images(self, inputs: Tensor) -> Tensor | None:
        """Return inputs ``(..., T, I)`` as images ``(..., H, W)``, where that is what they are."""


class EvaluationData(Protocol):
    """The part of a datamodule that evaluation reads."""

    @property
    def problem(self) -> EvaluatedProblem:
        """What the zoo's RNNs were trained on."""

    def eval_splits(self, stage: str) -> list[str]:
        """Name the splits of the evaluation loaders, in their order."""

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the zoo's rows in one split."""

    def read_target(self, name: str, split: str) -> Tensor:
        """Return a property ``(n, parts)`` of the RNNs of a split."""


def partners(count: int) -> Tensor:
    """Return the other RNN ``(count,)`` of each in a batch of evaluation.

    Such a batch holds one pair after the other; an odd one at the end makes three with the last
    pair, in a circle.

    Args:
        count: RNNs in the batch, at least 2.
    """
    index = torch.arange(count) ^ 1
    if count % 2:
        index[-3:] = torch.arange(count - 3, count).roll(-1)
    return index
