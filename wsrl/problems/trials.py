"""Trials, as neuroscience trains on: real inputs and targets, and a mask that says what counts.

Every member of a zoo has its own version of a task. What versions there are the problem's settings
say, each by a number, which all members share, or by a lowest and a highest, between which each
member draws its own.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from wsrl.problems.base import (
    Batch,
    InputKind,
    Runner,
    TrainableProblem,
    TrainingStream,
    output_loss,
)
from wsrl.problems.columns import Column, Target
from wsrl.problems.criteria import Criterion
from wsrl.problems.streams import Purpose, draw_each, stream
from wsrl.rnn import Backend, RNNSpec, RNNWeights, run_with_noise
from wsrl.validation import check_size, short

Parameter: TypeAlias = float | Sequence[float]
"""Of a task: one number for all members, or the lowest and the highest."""

Count: TypeAlias = Annotated[int, Field(ge=1, le=10**5)]
"""Of trials, steps, or channels."""

Array: TypeAlias = NDArray[Any]


class Trials(NamedTuple):
    """``S`` trials of at most ``T`` steps.

    Attributes:
        inputs: ``(S, T, I)``, 0 after the end of a shorter trial, but for noise.
        targets: ``(S, T, O)``, or classes ``(S, T)``.
        mask: ``(S, T)``, 1 at the steps that count in the loss and in performance, else 0.
    """

    inputs: Array
    targets: Array
    mask: Array


class TrialProblem(TrainableProblem):
    """What problems of trials share; a subclass draws the trials and names the criterion.

    Args:
        input_size: ``I``.
        output_size: ``O``.
        length: ``T``, steps of a sequence: those of the longest trial.
        parameters: the lowest and the highest value of each of the task's other parameters than
            noise, as ``span`` returns them.
        input_noise: standard deviation of what is added to every input at every step.
        unit_noise: standard deviation of what is added to every neuron at every step in training.
            Papers that write ``sqrt(2 alpha) sigma xi`` have ``sqrt(2 alpha) sigma``.
        evaluated: trials on which an RNN is judged.
        stored: how many of these are stored.

    Attributes:
        criterion: how well outputs ``(P, S, T, O)`` meet targets at the steps that count: ``(P,)``.
    """

    may_differ: ClassVar[frozenset[str]] = frozenset(("evaluated_trials", "stored_trials"))
    output_kind = "real"
    criterion: Criterion

    def __init__(
        self,
        input_size: int,
        output_size: int,
        length: int,
        parameters: Mapping[str, tuple[float, float]],
        input_noise: Parameter,
        unit_noise: Parameter,
        evaluated: int,
        stored: int,
    ) -> None:
        check_size("stored_trials", stored, 1, evaluated)
        self.input_size, self.output_size, self.length = input_size, output_size, length
        self.evaluated, self.stored = evaluated, stored
        noise = {"input_noise": input_noise, "unit_noise": unit_noise}
        self.parameters = {**parameters} | {n: span(n, value) for n, value in noise.items()}
        self.free = [name for name, (low, high) in self.parameters.items() if low < high]
        self.input_kind = InputKind("real", length=length)

    @abstractmethod
    def draw(self, own: np.random.Generator, task: Mapping[str, float], count: int) -> Trials:
        """Draw ``count`` trials of one member, whose parameters ``task`` has by name.

        The noise of the inputs is added later.
        """

    def draw_tasks(self, seed: int, members: Sequence[int]) -> Tensor:
        """Draw the parameters that differ, uniformly: ``(P, K)`` float64.

        Where none does, the number of the member stands for its task, ``(P, 1)``, so that members
        can be split.
        """
        if not self.free:
            return torch.tensor(members, dtype=torch.float64)[:, None]
        low, high = np.array([self.parameters[name] for name in self.free]).T
        return draw_each(lambda own: own.uniform(low, high), members, seed, Purpose.TASK)

    def task(self, row: Sequence[float]) -> dict[str, float]:
        """Return all parameters of the task that a row ``(K,)`` of the column ``task`` stands for.

        A row may be of an RNN of another zoo, or a guess: values are brought into their range.
        """
        known = {name: low for name, (low, _) in self.parameters.items()}
        for name, value in zip(self.free, row, strict=False):
            low, high = self.parameters[name]
            known[name] = min(max(float(value), low), high)
        return known

    def trials(self, own: Sequence[np.random.Generator], tasks: Tensor, count: int) -> Trials:
        """Draw trials of ``P`` members with tasks ``(P, K)``, each from its own generator.

        Returns:
            Float32 arrays with a first axis of ``P``, noise included.
        """
        drawn = []
        for each, row in zip(own, tasks.tolist(), strict=True):
            task = self.task(row)
            inputs, targets, mask = self.draw(each, task, count)
            if task["input_noise"]:
                inputs = inputs + task["input_noise"] * each.standard_normal(inputs.shape)
            drawn.append((inputs, targets, mask))
        parts = zip(*drawn, strict=True)
        return Trials(*(np.stack(part).astype(np.float32) for part in parts))

    def training_stream(
        self, tasks: Tensor, members: Sequence[int], seed: int, batch_size: int, unique: bool
    ) -> TrainingStream:
        """Return batches of random trials; there are too many for any to come twice."""
        return _TrialStream(self, tasks, members, seed, batch_size)

    def loss(self, weights: RNNWeights, batch: Batch, backend: Backend) -> Tensor:
        """Return the loss at the steps that count, with the noise of neurons if there is any."""
        assert isinstance(batch, _Batch)
        if batch.unit_noise is None:
            return super().loss(weights, batch, backend)
        noise = batch.draw_noise(weights.spec)
        outputs, _ = run_with_noise(weights, batch.inputs, noise.to(weights.flat.device))
        return output_loss(outputs, batch)

    def columns(self) -> dict[str, Column]:
        """Return the task, how well it is performed, and trials with the outputs on them."""
        shape = (self.stored, self.length)
        return {
            "task": Column("F64", (len(self.free) or 1,)),
            "performance": Column("F32", ()),
            "loss": Column("F32", ()),
            "sequences": Column("F16", (*shape, self.input_size)),
            "outputs": Column("F16", (*shape, self.output_size)),
        }

    def evaluate(
        self, run: Runner, tasks: Tensor, members: Sequence[int], seed: int, step: int
    ) -> dict[str, Tensor]:
        """Judge a group on trials that are new to it, without noise of neurons."""
        own = [stream(seed, Purpose.EVALUATION, member, step) for member in members]
        inputs, targets, mask = self.placed(own, tasks, self.evaluated)
        inputs = inputs.half()  # what is stored is what was read, so that it can be verified
        outputs, _ = run(inputs.float(), None)
        batch = Batch(inputs, targets, _shares(mask))
        return {
            "task": tasks,
            "performance": self.criterion(outputs, targets, mask).float(),
            "loss": output_loss(outputs, batch),
            "sequences": inputs[:, : self.stored],
            "outputs": outputs[:, : self.stored].half(),
        }

    def clone_scores(
        self, run: Runner, tasks: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Performance on new trials."""
        seeds = [int(torch.randint(1 << 62, (), generator=each)) for each in generators]
        own = [np.random.default_rng(seed) for seed in seeds]
        inputs, targets, mask = self.placed(own, tasks, samples)
        return self.criterion(run(inputs, None)[0], targets, mask).clamp(0, 1)

    def new_sequences(
        self, tasks: Tensor, count: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw trials of all tasks in turn."""
        chosen = tasks[torch.arange(count) % len(tasks)]
        seeds = torch.randint(1 << 62, (count,), generator=generator).tolist()
        inputs, _, mask = self.placed([*map(np.random.default_rng, seeds)], chosen, 1)
        return inputs[:, 0], mask[:, 0]

    def placed(
        self, own: Sequence[np.random.Generator], tasks: Tensor, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what ``trials`` does on the device of ``tasks (P, K)``; classes as integers."""
        drawn = self.trials(own, tasks, count)
        inputs, targets, mask = (torch.from_numpy(part).to(tasks.device) for part in drawn)
        return inputs, targets.long() if self.output_kind == "categorical" else targets, mask

    def task_entries(self) -> tuple[str, ...]:
        """Return the names of the parameters that differ."""
        return tuple(self.free) or ("run",)

    def task_name(self, task: Sequence[float]) -> str:
        """Return the parameters that differ, with their values."""
        values = zip(self.task_entries(), task, strict=True)
        return ", ".join(f"{name} {value:.3g}" for name, value in values)

    def score_text(self, task: Sequence[float], score: float) -> str:
        """Say how well the task is performed."""
        which = f" ({self.task_name(task)})" if self.free else ""
        return f"performs {self.name}{which}: performance {score:.2f}"

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return the parameters that differ, the performance and the training step."""
        known = {name: Target("task", "real", first=index) for index, name in enumerate(self.free)}
        return known | super().targets(steps)

    def ood_criterion(self, tasks: NDArray[Any]) -> NDArray[np.float64]:
        """The first parameter that differs (the largest are OOD).

        Where none does, an order without a meaning that is always the same.
        """
        if self.free:
            return super().ood_criterion(tasks)
        return np.random.RandomState(0).random_sample(len(tasks))


@dataclass(frozen=True)
class _Batch(Batch):
    """Trials, and where neurons are noisy how much, ``(P,)``, and a seed for each member."""

    unit_noise: Tensor | None
    seeds: Sequence[int]

    def draw_noise(self, spec: RNNSpec) -> Tensor:
        """Return what is added to the state, ``(P, L, T, S, H)`` on the CPU."""
        assert self.unit_noise is not None
        _, trials, steps, _ = self.inputs.shape
        shape = (spec.num_layers, steps, trials, spec.hidden_size)
        own = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        scales = self.unit_noise.tolist()
        drawn = [s * torch.randn(shape, generator=g) for s, g in zip(scales, own, strict=True)]
        return torch.stack(drawn)


class _TrialStream(TrainingStream):
    """New trials at every step, of each member from its own stream."""

    def __init__(
        self, problem: TrialProblem, tasks: Tensor, members: Sequence[int], seed: int, count: int
    ) -> None:
        self._problem, self._tasks, self._members = problem, tasks, members
        self._seed, self._count = seed, count
        noise = [problem.task(row)["unit_noise"] for row in tasks.tolist()]
        self._unit_noise = torch.tensor(noise) if problem.parameters["unit_noise"][1] else None

    def batch(self, step: int) -> Batch:
        """Return the trials of one step."""
        own = [stream(self._seed, Purpose.TRAINING, member, step) for member in self._members]
        inputs, targets, mask = self._problem.placed(own, self._tasks, self._count)
        seeds = [int(each.integers(1 << 62)) for each in own]
        return _Batch(inputs, targets, _shares(mask), self._unit_noise, seeds)


def _shares(mask: Tensor) -> Tensor:
    """Let every step that counts count alike: ``(P, S, T)``, of sum 1 for each member."""
    return mask / mask.sum((1, 2), keepdim=True)


def span(
    name: str, value: Parameter, least: float = 0.0, most: float = math.inf
) -> tuple[float, float]:
    """Return the lowest and the highest value of a parameter, which must be in a range.

    >>> span("delay", 500), span("delay", [200, 800])
    ((500.0, 500.0), (200.0, 800.0))
    """
    ends = (value,) if isinstance(value, int | float) else tuple(value)
    sound = len(ends) in (1, 2) and least <= ends[0] <= ends[-1] <= most
    if not sound or math.isinf(ends[-1]):
        bounds = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise ValueError(
            f"{name} must be a number, or the lowest and the highest, {bounds}; not {short(value)}"
        )
    return float(ends[0]), float(ends[-1])
