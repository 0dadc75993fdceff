"""RNNs that were trained elsewhere: what their zoo can tell of them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wsrl.problems.base import InputKind, Problem
from wsrl.problems.columns import Column, Target
from wsrl.problems.registry import register_problem


def property_column(name: str) -> str:
    """Return the zoo's column of a property; no other column's name is like it."""
    return f"property.{name}"


@register_problem
class PackedRNNs(Problem):
    """A user's own RNNs, with the properties that their table has.

    ``wsrl zoo pack`` makes such zoos. What the RNNs were trained on is not known here: nothing can
    be trained on this problem, and free-running clones are not scored.

    Args:
        input_size: size of an input vector.
        output_size: size of an output vector.
        output_kind: ``categorical`` (outputs are logits) or ``real``.
        length: steps ``T`` of a stored sequence.
        sequences_stored: sequences ``S`` stored of every RNN.
        inputs: how the sequences came about: ``normal``, ``uniform``, ``one_hot`` or ``given``.
        properties: what is known of every RNN, in the order of the table: a ``name``, a ``kind``
            (``real``, ``angle`` or ``classes``) and, for ``classes``, what they are called
            (``classes``): the column holds the positions in that list.
        task: names of the properties that make up a task; by default every run has its own.
        performance: whether a performance is known.
    """

    name: ClassVar[str] = "packed"
    may_differ: ClassVar[frozenset[str]] = frozenset(("sequences_stored",))
    scores_clones: ClassVar[bool] = False

    def __init__(
        self,
        input_size: int,
        output_size: int,
        output_kind: Annotated[str, Field(pattern="^(categorical|real)$")],
        length: int,
        sequences_stored: int,
        inputs: str,
        properties: Sequence[Mapping[str, Any]] = (),
        task: Sequence[str] = (),
        performance: bool = False,
    ) -> None:
        names = [known["name"] for known in properties]
        if taken := [name for name in ("step", "performance") if name in names]:
            raise ValueError(f"a property must not be called {taken[0]!r}: rename the column")
        if unknown := [name for name in task if name not in names]:
            raise ValueError(f"the task is no property: {', '.join(unknown)}; there are {names}")
        self.input_size, self.output_size, self.output_kind = input_size, output_size, output_kind
        self.length, self.sequences_stored, self.inputs = length, sequences_stored, inputs
        self.properties = {known["name"]: dict(known) for known in properties}
        self.task, self.performance = tuple(task), performance
        self.input_kind = _INPUT_KINDS.get(inputs, InputKind("real"))

    def columns(self) -> dict[str, Column]:
        """``task`` holds the properties that make it up, or the run; ``performance`` may be NaN."""
        dtypes = {"real": "F64", "angle": "F64", "classes": "I64"}
        kinds = {property_column(n): dtypes[known["kind"]] for n, known in self.properties.items()}
        sequences = (self.sequences_stored, self.length)
        return {
            "task": Column("F64", (len(self.task) or 1,)),
            "performance": Column("F32", ()),
            **{name: Column(dtype, ()) for name, dtype in kinds.items()},
            "sequences": Column("F32", (*sequences, self.input_size)),
            "outputs": Column("F32", (*sequences, self.output_size)),
        }

    def task_entries(self) -> tuple[str, ...]:
        """Return the names of the properties that make up a task."""
        return self.task or ("run",)

    def task_name(self, task: Sequence[float]) -> str:
        """Return the properties that make up a task, by name; of a task of its own, the run."""
        if not self.task:
            return f"run {int(task[0])}"
        shown = []
        for name, value in zip(self.task, task, strict=True):
            classes = self.properties[name].get("classes")
            shown.append(f"{name} {classes[int(value)] if classes else f'{value:g}'}")
        return ", ".join(shown)

    def targets(self, steps: Sequence[int]) -> dict[str, Target]:
        """Return every property, and step and performance where there is something to predict."""
        targets = {name: property_target(known) for name, known in self.properties.items()}
        known = {"performance": self.performance, "step": len(steps) > 1}
        return targets | {n: t for n, t in super().targets(steps).items() if known[n]}

    def ood_criterion(self, tasks: NDArray[Any]) -> NDArray[np.float64]:
        """The task's first property where it is a number (the largest are OOD).

        Where it is a class, or every run is its own task, an order without a meaning that is always
        the same: OOD tasks are then no different from the others.
        """
        if self.task and self.properties[self.task[0]]["kind"] != "classes":
            return super().ood_criterion(tasks)
        return np.random.RandomState(0).random_sample(len(tasks))


_INPUT_KINDS = {"one_hot": InputKind("tokens"), "uniform": InputKind("range", 0, 1)}


def property_target(known: Mapping[str, Any]) -> Target:
    """Return the target that a property, described as in ``properties``, is."""
    column = property_column(known["name"])
    if known["kind"] != "classes":
        return Target(column, known["kind"], period=360.0 if known["kind"] == "angle" else None)
    classes = tuple(known["classes"])
    return Target(column, "classes", values=tuple(range(len(classes))), labels=classes)
