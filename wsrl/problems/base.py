"""What a problem offers to the builder, the datamodule and the tasks.

A new problem is one file with one subclass, registered by decorator, or announced by another
package.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wsrl.problems.columns import Column, Target
from wsrl.recorded import Recorded
from wsrl.rnn import Backend, RNNSpec, RNNWeights, State, population_cross_entropy, run_population
from wsrl.validation import check_arguments

_Self = TypeVar("_Self", bound="Problem")

Runner: TypeAlias = Callable[[Tensor, State | None], tuple[Tensor, State]]
"""Runs ``B`` models: inputs ``(B, S, T, I)`` and a state (``None`` at the start) to outputs
``(B, S, T, O)`` and the next state. RNNs and emulators look alike through it."""


@dataclass(frozen=True)
class Batch:
    """What a population trains on in one step.

    Attributes:
        inputs: ``(P, S, T, I)``.
        targets: ``(P, S, T)`` class indices, or ``(P, S, T, O)`` values.
        weights: how much each sequence counts, ``(P, S)``, or each step of it, ``(P, S, T)``; each
            member's sum to 1. A step of a sequence counts one ``T``-th.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor


class TrainingStream(ABC):
    """The training data of a group of members."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return the data of one step, a function of the step and the state alone."""

    def observe(self, accuracy: Tensor) -> None:  # noqa: B027 most streams are the same for all
        """Take note of each member's accuracy on the last batch, ``(P,)``, as a curriculum does."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what ``observe`` has changed, so that an interrupted build can go on."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Go on from what ``state_dict`` returned."""


@dataclass(frozen=True)
class InputKind:
    """What the input vectors of a problem are like, so that others can make some that suit.

    Attributes:
        values: ``tokens`` (one-hot vectors), ``range`` (numbers from ``low`` to ``high``) or
            ``real`` (any numbers).
        low: the smallest number of a ``range``.
        high: the largest.
        length: steps in which an RNN shows what it does; ``None`` where any number will do.
    """

    values: Literal["tokens", "range", "real"]
    low: float = 0.0
    high: float = 1.0
    length: int | None = None


class Problem(Recorded, ABC):
    """A family of tasks that small RNNs were trained on: what reading a zoo needs.

    The arguments of a subclass's constructor are recorded as its settings, so they must be plain
    values: numbers, strings, booleans, lists and dictionaries of these. They are checked by their
    annotations, as ``Annotated[int, pydantic.Field(ge=1)]``. ``GIVEN`` names those that are no
    settings of a zoo, as where things lie on this machine.
    """

    name: ClassVar[str]

    output_kind: str
    """``categorical`` where outputs are logits, ``real`` where they are values."""

    input_kind: InputKind | None = None
    """What inputs are like; ``None`` for tokens, which encoders assume by themselves."""

    scores_clones: ClassVar[bool] = True
    """Whether ``clone_scores`` can judge a model that runs freely."""

    may_differ: ClassVar[frozenset[str]] = frozenset()
    """Settings in which zoos of one data set may differ: how much was stored and measured."""

    task_period: ClassVar[float | None] = None
    """For tasks that are one number on a circle, what goes once round it."""

    input_size: int
    output_size: int

    def __new__(cls: type[_Self], *args: Any, **kwargs: Any) -> _Self:
        """Check and record the constructor's arguments; copies and pickles come without any."""
        self = super().__new__(cls, *args, **kwargs)
        check_arguments(cls, self._recorded)
        return self

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values, as JSON would give them back."""
        settings: dict[str, Any] = json.loads(json.dumps(self.options(), default=list))
        return settings

    def spec(
        self, cell: str, hidden_size: int, num_layers: int, bias: bool = True, **more: Any
    ) -> RNNSpec:
        """Return the spec of RNNs that fit this problem; ``more`` are other fields of it."""
        sizes = (self.input_size, hidden_size, num_layers, self.output_size)
        return RNNSpec(cell, *sizes, bias=bias, **more)

    @abstractmethod
    def columns(self) -> dict[str, Column]:
        """Return the columns of a zoo but ``weights``, ``run`` and ``step``, which every zoo has.

        Among them ``task``, ``performance``, ``sequences`` and ``outputs``.
        """

    def encode(self, sequences: Tensor) -> Tensor:
        """Turn stored sequences, by default inputs, into inputs ``(..., T, I)`` of float32."""
        return sequences.float()

    def as_images(self, inputs: Tensor) -> Tensor | None:
        """Return inputs ``(..., T, I)`` as images ``(..., H, W)``, where that is what they are."""
        return None

    def input_names(self) -> tuple[str, ...]:
        """Return the names of the entries of an input, as tokens; empty by default."""
        return ()

    def output_names(self) -> tuple[str, ...]:
        """Return the names of the entries of an output; empty by default."""
        return ()

    def task_entries(self) -> tuple[str, ...]:
        """Return the names of a task's ``K`` entries; empty where there are none."""
        return ()

    def task_name(self, task: Sequence[float]) -> str:
        """Return a task ``(K,)`` to read."""
        return ", ".join(f"{value:g}" for value in task)

    def score_text(self, task: Sequence[float], score: float) -> str:
        """Say what a score of ``clone_scores`` on a task ``(K,)`` means."""
        return f"performs the task {self.task_name(task)}: score {score:.2f}"

    def write_sequences(self, run: Runner, count: int, generator: torch.Generator) -> Tensor | None:
        """Have one model (``B = 1``) write sequences, ``(1, count, *stored)`` as a zoo stores them.

        ``None``, the default, says that sequences come from elsewhere.
        """
        return None

    def new_sequences(
        self, tasks: Tensor, count: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor] | None:
        """Draw ``count`` sequences, spread over tasks ``(P, K)``, as those of training.

        Returns:
            Inputs ``(count, T, I)``, and which steps count, ``(count, T)``; ``None``, the default,
            says that stored sequences are all that there is, of which every step counts.
        """
        return None

    def prepare(self) -> None:
        """Check before any work that data of training and ``clone_scores`` are there."""

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Score ``B`` free-running models on their tasks ``(B, K)``: ``(B,)`` between 0 and 1.

        What is random in the score of a model comes out of its own one of ``B`` generators (on the
        CPU). Where ``scores_clones`` is ``False``, a ``ValueError``.
        """
        raise ValueError(f"clones cannot be scored on {self.name!r}: no score is defined")

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return what can be predicted: by default performance and training step (``steps``)."""
        return {
            "performance": Target("performance", "real"),
            "step": Target("step", "classes", values=tuple(sorted(steps))),
        }

    def ood_criterion(self, tasks: NDArray[Any]) -> NDArray[np.float64]:
        """Return a number for every task ``(n, K)``, its first by default; the largest are OOD."""
        return tasks[:, 0].astype(np.float64)

    def official_order(self, tasks: NDArray[Any]) -> NDArray[np.int64]:
        """Return the indices of tasks ``(n, K)`` in the official code's order; the last are OOD."""
        return np.argsort(self.ood_criterion(tasks), kind="stable").astype(np.int64)


class TrainableProblem(Problem):
    """A problem on which a zoo can be built: what training needs as well."""

    draws_weight_decay: ClassVar[bool] = False
    """Whether ``weight_decays`` gives every member its own, whatever the build says."""

    @abstractmethod
    def draw_tasks(self, seed: int, members: Sequence[int]) -> Tensor:
        """Draw each member's task from its own stream: ``(P, K)``."""

    def weight_decays(self, seed: int, members: Sequence[int], default: float) -> Tensor | float:
        """Return AdamW's weight decay: each member's own ``(P, 1)``, or the build's for all."""
        return default

    @abstractmethod
    def training_stream(
        self, tasks: Tensor, members: Sequence[int], seed: int, batch_size: int, unique: bool
    ) -> TrainingStream:
        """Return the data that members with ``tasks (P, K)`` train on.

        If ``unique``, the ``batch_size`` draws of a step come as distinct sequences with weights,
        where the problem can: the same gradient from less work.
        """

    def loss(self, weights: RNNWeights, batch: Batch, backend: Backend) -> Tensor:
        """Return each member's loss on its own sequences, ``(P,)``, differentiable by the weights.

        By default cross-entropy, or the mean squared error of real outputs, averaged over steps.
        """
        if self.output_kind == "categorical" and batch.weights.ndim == 2:
            given = (batch.inputs, batch.targets, batch.weights)
            return population_cross_entropy(weights, *given, backend)
        outputs, _ = run_population(weights, batch.inputs, backend=backend)
        return output_loss(outputs, batch)

    def loss_and_accuracy(
        self, weights: RNNWeights, batch: Batch, backend: Backend
    ) -> tuple[Tensor, Tensor | None]:
        """Return the loss, and the accuracy ``(P,)`` where the stream is to observe it."""
        return self.loss(weights, batch, backend), None

    @abstractmethod
    def evaluate(
        self, run: Runner, tasks: Tensor, members: Sequence[int], seed: int, step: int
    ) -> dict[str, Tensor]:
        """Judge a group at a snapshot: every column of ``columns``, ``(P, *shape)`` each.

        Among them ``performance`` (1 is perfect), ``sequences`` and the ``outputs`` on them.
        """


def output_loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Return each member's loss of outputs ``(P, S, T, O)``, weighted: ``(P,)``.

    It is the cross-entropy where targets are classes, else the mean squared error.
    """
    if batch.targets.ndim == 3:
        errors = functional.cross_entropy(outputs.movedim(3, 1), batch.targets, reduction="none")
    else:
        errors = (outputs - batch.targets).square().mean(3)
    if batch.weights.ndim == 2:
        return (errors.mean(2) * batch.weights).sum(1)
    return (errors * batch.weights).sum((1, 2))
