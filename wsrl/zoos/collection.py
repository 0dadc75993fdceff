"""Several zoos of one problem, read as one."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

import torch
from torch import Tensor

from wsrl.problems import Column, Problem, Target
from wsrl.rnn import RNNInterface, RNNs, RNNSpec, concatenate
from wsrl.validation import short
from wsrl.zoos.manifest import ZooError
from wsrl.zoos.store import Zoo


class ZooCollection:
    """Zoos of one problem, whatever their cells and sizes: rows of one after those of the other.

    It is read as a ``Zoo`` is. Where two zoos number runs alike, runs are numbered anew: those of a
    zoo follow those of the one before. ``open_zoo`` makes one of a folder of zoos, or of several
    folders.

    Args:
        zoos: at least two.

    Raises:
        ZooError: naming two zoos that are not of one problem, and what differs.
    """

    def __init__(self, zoos: Sequence[Zoo]) -> None:
        self.zoos = tuple(zoos)
        for zoo in self.zoos[1:]:
            _check_alike(self.zoos[0], zoo)
        self._ends = torch.tensor([*accumulate(map(len, self.zoos))])
        self._starts = [0, *self._ends[:-1].tolist()]
        self._first_runs = self._number_runs()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def place(self) -> str:
        """Where the zoos are, to read."""
        parents = {zoo.path.parent for zoo in self.zoos}
        if len(parents) > 1:
            return ", ".join(str(zoo.path) for zoo in self.zoos)
        return f"{parents.pop()} ({', '.join(zoo.path.name for zoo in self.zoos)})"

    @cached_property
    def problem(self) -> Problem:
        """The problem of all, with the numbers of sequences of the first."""
        return self.zoos[0].problem

    @cached_property
    def specs(self) -> tuple[RNNSpec, ...]:
        """The different specs of the RNNs, in the order of the zoos."""
        return tuple(dict.fromkeys(zoo.spec for zoo in self.zoos))

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs, the same for all."""
        return self.zoos[0].interface

    @property
    def targets(self) -> dict[str, Target]:
        """What can be predicted of all RNNs, by name: the problem's, and labels that all have."""
        first, *others = (zoo.labels.targets for zoo in self.zoos)
        alike = [name for name in first if all(o.get(name) == first[name] for o in others)]
        return {name: first[name] for name in alike} | self.problem.targets(self.steps)

    @property
    def columns(self) -> dict[str, Column]:
        """What can be read, as the first zoo has it; other zoos may store more sequences."""
        return {
            name: column
            for name, column in self.zoos[0].columns.items()
            if all(name in zoo.columns for zoo in self.zoos)
        }

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """All training steps at which snapshots were taken."""
        return tuple(sorted({step for zoo in self.zoos for step in zoo.steps}))

    @cached_property
    def sequences_stored(self) -> int:
        """How many sequences every snapshot has at least; no others are read."""
        return min(zoo.sequences_stored for zoo in self.zoos)

    def zoo_of(self, rows: Tensor) -> Tensor:
        """Return which of ``zoos`` each of the rows ``(n,)`` is from."""
        return torch.searchsorted(self._ends, rows.contiguous(), right=True)

    def spec_of(self, rows: Tensor) -> list[RNNSpec]:
        """Return the spec of each of the rows ``(n,)``."""
        return [self.zoos[index].spec for index in self.zoo_of(rows).tolist()]

    def names(self, rows: Tensor) -> list[str]:
        """Return a name for each of the rows ``(n,)``, as ``Zoo.names`` does."""
        found = [""] * len(rows)
        for index, zoo, own, places in self._split(rows):
            names = zoo.names(own, self._first_runs[index])
            for place, name in zip(places.tolist(), names, strict=True):
                found[place] = name
        return found

    def read(self, column: str, rows: Tensor | None = None) -> Tensor:
        """Return a copy ``(n, *shape)`` of one column, of rows ``(n,)`` or of all.

        Numbers of different precision become those of the higher. ``weights`` can be read where all
        have one spec.
        """
        rows = torch.arange(len(self)) if rows is None else rows
        if column == "weights" and len(self.specs) > 1:
            raise ZooError(f"RNNs of {len(self.specs)} specs have no column of weights; read them")
        stored = self.sequences_stored if column in ("sequences", "outputs") else None

        def read(index: int, zoo: Zoo, own: Tensor, places: Tensor) -> Tensor:
            found = zoo.read(column, own)
            if column == "run" or (column == "task" and self._tasks_are_runs):
                found += self._first_runs[index]
            return found if stored is None else found[:, :stored]

        return self._gather(rows, read)

    def read_sequences(self, rows: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Return chosen sequences of snapshots and the outputs on them, as ``Zoo`` does."""
        read: list[tuple[Tensor, Tensor]] = []
        for _, zoo, own, places in self._split(rows):
            read.append(zoo.read_sequences(own, picks[places]))
        sequences, outputs = zip(*read, strict=True)
        return self._in_order(rows, sequences), self._in_order(rows, outputs)

    def read_weights(self, rows: Tensor | None = None) -> RNNs:
        """Return RNNs, of rows ``(n,)`` or all."""
        rows = torch.arange(len(self)) if rows is None else rows
        parts = [(zoo.read_weights(own), places) for _, zoo, own, places in self._split(rows)]
        return concatenate(*zip(*parts, strict=True))

    def check(self) -> None:
        """Check that the files of every zoo are undamaged (``ZooError``)."""
        for zoo in self.zoos:
            zoo.check()

    @cached_property
    def _tasks_are_runs(self) -> bool:
        """Whether the task of an RNN is the number of its run, as where no tasks are known."""
        return self.problem.task_entries() == ("run",)

    def _number_runs(self) -> list[int]:
        """Return what is added to the numbers of the runs of each zoo."""
        runs = [zoo.read("run").unique() for zoo in self.zoos]
        if len(torch.cat(runs).unique()) == sum(map(len, runs)):
            return [0] * len(runs)
        counts = [int(own.max()) + 1 if len(own) else 0 for own in runs]
        return [0, *accumulate(counts[:-1])]

    def _split(self, rows: Tensor) -> Iterator[tuple[int, Zoo, Tensor, Tensor]]:
        """Yield for each zoo its number, itself, its own rows and where these are in ``rows``."""
        owners = self.zoo_of(rows)
        for index, zoo in enumerate(self.zoos):
            places = (owners == index).nonzero()[:, 0]
            yield index, zoo, rows[places] - self._starts[index], places

    def _gather(self, rows: Tensor, read: Callable[[int, Zoo, Tensor, Tensor], Tensor]) -> Tensor:
        return self._in_order(rows, [read(*part) for part in self._split(rows)])

    def _in_order(self, rows: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """Join what was read of each zoo in the order of the rows."""
        return torch.cat([*parts])[self.zoo_of(rows).argsort(stable=True).argsort()]


AnyZoo: TypeAlias = Zoo | ZooCollection
"""What is read: one zoo, or a collection."""


def collect(zoos: Sequence[Zoo]) -> AnyZoo:
    """Return the one zoo that there is, or the collection of several."""
    return zoos[0] if len(zoos) == 1 else ZooCollection(zoos)


def _check_alike(first: Zoo, other: Zoo) -> None:
    here, there = _what_matters(first), _what_matters(other)
    names = [name for name in here | there if here.get(name) != there.get(name)]
    if "problem" in names:
        names = ["problem"]
    if names:
        different = "; ".join(f"{n} {short(here.get(n))} and {short(there.get(n))}" for n in names)
        raise ZooError(
            f"the zoos at {first.path} and {other.path} are of different problems, no one data "
            f"set: {different}"
        )


def _what_matters(zoo: Zoo) -> dict[str, Any]:
    """Return what zoos of one data set have in common, by name."""
    problem = zoo.problem
    settings = {n: v for n, v in problem.settings().items() if n not in problem.may_differ}
    shapes = {
        f"shape of a row of {name}": column.shape[name in ("sequences", "outputs") :]
        for name, column in zoo.columns.items()
        if name in ("task", "sequences", "outputs")
    }
    return {"problem": problem.name, **settings, **shapes}
