"""Variable binding: hold the last inputs and compute on with them (Karuvally et al. 2023).

An RNN reads ``s`` vectors of -1 and 1, then runs on its own, and every vector that it outputs is a
linear map of the last ``s``: see ``binding_tasks``. arXiv 2310.02430.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from wsrl.problems.base import Batch, InputKind, Runner, TrainableProblem, TrainingStream
from wsrl.problems.binding_tasks import BindingTask, check_sizes
from wsrl.problems.columns import Column, Target
from wsrl.problems.registry import register_problem
from wsrl.problems.streams import DrawnStream, Purpose, draw_each, stream
from wsrl.rnn import Backend, RNNWeights, run_population
from wsrl.validation import check_size

MOST_STEPS, MOST_SEQUENCES = 10**5, 10**6
"""Steps after the input, and sequences that an RNN is judged on, at most."""

_BLOCK = 64  # steps whose draws come from one stream
_Steps = Annotated[Sequence[Annotated[int, Field(ge=1, le=MOST_STEPS)]], Field(min_length=1)]


@register_problem
class VariableBinding(TrainableProblem):
    """Linear maps that copy signed sources.

    Args:
        steps: ``s``, vectors of input.
        dims: ``d``, numbers of a vector.
        tasks: names (``repeat_copy``, ``compose_copy``, ...) or ids ``a,b,c``, which the members
            take in turn, but those that remember less than one vector for ever; by default every
            member draws its own, with every dimension the source of one output.
        horizons: the curriculum: how many steps after the input count. A member moves on by itself.
        threshold: the sign accuracy on a batch with which it does.
        l2: factor of half the squared norm of the weights in the loss. That is Adam's weight decay
            (not AdamW's), but for clipping: ``clip_norm`` clips the gradient of the whole loss,
            where the published training adds the decay to the clipped gradient.
        evaluated_horizons: for how many steps after the input sign accuracy is measured; that of
            the longest is ``performance``.
        evaluated_sequences: sequences this is measured on.
        stored_sequences: how many of these are stored with the outputs on them.
        stored_horizon: steps after the input that are stored.
    """

    name: ClassVar[str] = "variable_binding"
    may_differ: ClassVar[frozenset[str]] = frozenset(("evaluated_sequences", "stored_sequences"))
    output_kind = "real"
    input_kind = InputKind("range", -1, 1)

    def __init__(
        self,
        steps: int = 8,
        dims: int = 8,
        tasks: Sequence[str] = (),
        horizons: _Steps = (10, 20, 40, 60, 100),
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.96,
        l2: Annotated[float, Field(ge=0)] = 0.0,
        evaluated_horizons: _Steps = (10, 20, 40, 60, 100, 200),
        evaluated_sequences: Annotated[int, Field(ge=1, le=MOST_SEQUENCES)] = 256,
        stored_sequences: int = 100,
        stored_horizon: int = 32,
    ) -> None:
        check_sizes(steps, dims)
        for name, ascending in (("horizons", horizons), ("evaluated_horizons", evaluated_horizons)):
            if list(ascending) != sorted(set(ascending)):
                raise ValueError(f"{name} must ascend, not {list(ascending)}")
        check_size("stored_horizon", stored_horizon, 1, evaluated_horizons[-1])
        check_size("stored_sequences", stored_sequences, 1, evaluated_sequences)
        self.steps, self.dims, self.tasks = steps, dims, tuple(tasks)
        self.horizons, self.threshold, self.l2 = tuple(horizons), threshold, l2
        self.evaluated_horizons = tuple(evaluated_horizons)
        self.evaluated_sequences, self.stored_sequences = evaluated_sequences, stored_sequences
        self.stored_horizon = stored_horizon
        self.input_size = self.output_size = dims
        self._named = [BindingTask.parse(task, steps, dims) for task in tasks]

    def prepare(self) -> None:
        """Refuse degenerate tasks."""
        pairs = zip(self.tasks, self._named, strict=True)
        if degenerate := [name for name, task in pairs if task.degenerate]:
            few = ", ".join(degenerate)
            raise ValueError(f"tasks that remember less than one vector for ever: {few}")

    def draw_tasks(self, seed: int, members: Sequence[int]) -> Tensor:
        """Return sources and signs, ``(P, 2 d)``: the given tasks in turn, or drawn ones."""
        if self._named:
            tasks = [self._named[member % len(self._named)] for member in members]
        else:
            streams = [stream(seed, Purpose.TASK, member) for member in members]
            tasks = [BindingTask.draw(own, self.steps, self.dims) for own in streams]
        return torch.tensor([[*task.sources, *task.signs] for task in tasks])

    def task(self, row: Sequence[int]) -> BindingTask:
        """Return the task that a row ``(2 d,)`` of the column ``task`` stands for."""
        numbers = tuple(map(int, row))
        return BindingTask(numbers[: self.dims], numbers[self.dims :], self.steps)

    def origins(self, tasks: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
        """Say of members with ``tasks (P, 2 d)`` what ``BindingTask.unrolled`` does."""
        pairs = [self.task(row).unrolled(horizon) for row in tasks.tolist()]
        origins, signs = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        return origins.to(tasks.device), signs.to(tasks.device)

    def training_stream(
        self, tasks: Tensor, members: Sequence[int], seed: int, batch_size: int, unique: bool
    ) -> TrainingStream:
        """Return batches of random vectors; there are too many for any to come twice."""
        return _BindingStream(self, tasks, members, seed, batch_size)

    def loss(self, weights: RNNWeights, batch: Batch, backend: Backend) -> Tensor:
        """Mean squared error after the input, and ``l2``."""
        return self.loss_and_accuracy(weights, batch, backend)[0]

    def loss_and_accuracy(
        self, weights: RNNWeights, batch: Batch, backend: Backend
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the share of output signs that are right, ``(P,)`` each."""
        assert isinstance(batch, _Batch)
        losses = weights.flat.new_zeros(len(weights))
        accuracy = torch.zeros_like(losses)
        for horizon in batch.horizons.unique().tolist():  # members of one horizon run together
            rows = (batch.horizons == horizon).nonzero().squeeze(1).to(losses.device)
            inputs = functional.pad(batch.inputs[rows], (0, 0, 0, horizon))
            outputs, _ = run_population(weights[rows], inputs, backend=backend)
            outputs, targets = outputs[:, :, self.steps :], batch.targets[rows, :, :horizon]
            errors = (outputs - targets).square().mean((2, 3))
            losses = losses.index_add(0, rows, (errors * batch.weights[rows]).sum(1))
            right = (outputs.detach() * targets > 0).float().mean((2, 3)).mean(1)
            accuracy = accuracy.index_add(0, rows, right)
        if self.l2:
            losses = losses + self.l2 / 2 * weights.flat.square().sum(1)
        return losses, accuracy

    def columns(self) -> dict[str, Column]:
        """Return the task as sources and signs, and the accuracy at every horizon."""
        count, length = self.stored_sequences, self.steps + self.stored_horizon
        return {
            "task": Column("I64", (2 * self.dims,)),
            "performance": Column("F32", ()),
            "accuracy": Column("F32", (len(self.evaluated_horizons),)),
            "sequences": Column("I16", (count, self.steps, self.dims)),
            "outputs": Column("F16", (count, length, self.dims)),
        }

    def evaluate(
        self, run: Runner, tasks: Tensor, members: Sequence[int], seed: int, step: int
    ) -> dict[str, Tensor]:
        """Measure sign accuracy at every horizon on random inputs, and keep some of these."""
        shape = (self.evaluated_sequences, self.steps, self.dims)
        key = (members, seed, Purpose.EVALUATION, step)
        drawn = draw_each(lambda own: own.integers(0, 2, shape, np.int8), *key)
        sequences = 2 * drawn.to(tasks.device) - 1
        outputs, right = self._answers(run, tasks, sequences, self.evaluated_horizons[-1])
        accuracy = [right[:, :, :horizon].mean((1, 2)) for horizon in self.evaluated_horizons]
        kept, length = self.stored_sequences, self.steps + self.stored_horizon
        return {
            "task": tasks,
            "performance": accuracy[-1],
            "accuracy": torch.stack(accuracy, 1),
            "sequences": sequences[:, :kept].to(torch.int16),
            "outputs": outputs[:, :kept, :length].to(torch.float16),
        }

    def _answers(
        self, run: Runner, tasks: Tensor, sequences: Tensor, horizon: int
    ) -> tuple[Tensor, Tensor]:
        """Run models; return all outputs and the share of right signs, ``(P, S, horizon)``."""
        inputs = functional.pad(sequences.float(), (0, 0, 0, horizon))
        outputs, _ = run(inputs, None)
        targets = _continued(sequences.float(), *self.origins(tasks, horizon))
        right = (outputs[:, :, self.steps :] * targets > 0).float().mean(3)
        return outputs, right

    def encode(self, sequences: Tensor) -> Tensor:
        """Return stored inputs ``(..., s, d)`` with the zeros that follow: ``(..., T, d)``."""
        return functional.pad(sequences.float(), (0, 0, 0, self.stored_horizon))

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Sign accuracy over the stored horizon."""
        shape = (samples, self.steps, self.dims)
        drawn = torch.stack([torch.randint(2, shape, generator=each) for each in generators])
        sequences = 2 * drawn.to(tasks.device) - 1
        return self._answers(run, tasks, sequences, self.stored_horizon)[1].mean((1, 2))

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return what each output copies, with which sign, how well, and the training step."""
        sources = tuple(range(self.steps * self.dims))
        return {
            "source": Target("task", "classes", self.dims, sources),
            "sign": Target("task", "classes", self.dims, (-1, 1), first=self.dims),
        } | super().targets(steps)

    def ood_criterion(self, tasks: NDArray[Any]) -> NDArray[np.float64]:
        """How many values a task remembers for ever: the most demanding are OOD."""
        return np.array([float(self.task(row).lasting()) for row in tasks])


@dataclass(frozen=True)
class _Batch(Batch):
    """Inputs ``(P, S, s, d)`` and targets ``(P, S, H, d)`` of -1 and 1.

    ``horizons (P,)`` are the steps after the input that count for each member, at most ``H``.
    """

    horizons: Tensor


class _BindingStream(DrawnStream):
    """Random signs; how many steps after the input count is each member's own (a curriculum).

    A member begins with the first horizon, and moves on after an accuracy above the threshold.
    """

    def __init__(
        self, problem: VariableBinding, tasks: Tensor, members: Sequence[int], seed: int, size: int
    ) -> None:
        shape = (_BLOCK, size, problem.steps, problem.dims)
        self._horizons, self._threshold = torch.tensor(problem.horizons), problem.threshold
        self._origins, self._signs = problem.origins(tasks, problem.horizons[-1])
        self._level = torch.zeros(len(members), dtype=torch.long)
        draws = [lambda own: own.integers(0, 2, shape, np.int8)] * len(members)
        super().__init__(draws, members, seed, _BLOCK, tasks.device, self._targets_of)

    def _targets_of(self, drawn: Tensor) -> _Batch:
        inputs = (2 * drawn - 1).float()
        horizons = self._horizons[self._level]
        end = int(horizons.max())
        targets = _continued(inputs, self._origins[:, :end], self._signs[:, :end])
        weights = inputs.new_full(inputs.shape[:2], 1 / inputs.shape[1])
        return _Batch(inputs, targets, weights, horizons)

    def observe(self, accuracy: Tensor) -> None:
        """Let members that are accurate enough, ``(P,)``, move on to the next horizon."""
        passed = (accuracy > self._threshold).cpu()
        self._level = (self._level + passed).clamp(max=len(self._horizons) - 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return where in the curriculum each member is."""
        return {"level": self._level}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self._level = state["level"]


def _continued(inputs: Tensor, origins: Tensor, signs: Tensor) -> Tensor:
    """Return what follows ``inputs (P, S, s, d)``, each of them with a sign: ``(P, S, H, d)``."""
    where = origins.flatten(1)[:, None].expand(-1, inputs.shape[1], -1)
    copied = inputs.flatten(2).gather(2, where).view(*inputs.shape[:2], *origins.shape[1:])
    return copied * signs[:, None]
