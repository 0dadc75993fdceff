"""An encoder with its zoo, ready to inspect RNNs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.analysis.neighbours import nearest
from wsrl.problems import Target
from wsrl.rnn import RNNWeights
from wsrl.studies.inspection.readers import (
    Array,
    Guesser,
    HeadGuesser,
    NeighbourGuesser,
    PropertyReader,
)
from wsrl.studies.inspection.records import Inspection, Neighbour, Property, Skill
from wsrl.studies.inspection.reference import (
    Reference,
    as_points,
    imitate,
    judge,
    load_reference,
)
from wsrl.studies.inspection.skills import MOST, find_skill
from wsrl.studies.inspection.sources import (
    Head,
    OwnRNN,
    find_checkpoint,
    find_heads,
    held_out_rows,
    open_data,
    read_rnn,
    read_run,
)
from wsrl.tasks import EmulationModule
from wsrl.tasks.targets import make_target

NEIGHBOURS = 5
COVERAGE = 0.9


class Inspector:
    """An encoder with its emulator, its zoo and the heads that read it.

    Reads all settings at once; the zoo's RNNs are measured when the first RNN is inspected, and
    the measures kept beside the checkpoint.

    Args:
        ckpt: the folder of an emulation run (its best checkpoint) or a checkpoint.
        zoo: the zoo's folder, where it is not the one that the run was trained on, or moved.
        predict: prediction runs, or their checkpoints; those beside the encoder's run are found.
            A property that none of them predicts is read off the nearest RNNs.
        neighbours: how many of the nearest RNNs are named, and read.
        coverage: of the intervals.
        say: told when the zoo's RNNs are measured.
        cell: of the RNNs to inspect; needed for state dicts of an ``nn.RNN``, which do not say
            whether it is ``tanh``.

    Raises:
        ValueError: for a run that is none of an emulation, a zoo that is not there or one of other
            RNNs, or a prediction run of another encoder.
    """

    def __init__(
        self,
        ckpt: str | Path,
        zoo: str | Path | None = None,
        predict: Sequence[str | Path] = (),
        neighbours: int = NEIGHBOURS,
        coverage: float = COVERAGE,
        say: Callable[[str], object] = lambda text: None,
        cell: str | None = None,
    ) -> None:
        if neighbours < 1:
            raise ValueError(f"at least one neighbour is needed, not {neighbours}")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, not {coverage}")
        self.checkpoint = find_checkpoint(ckpt)
        record, self.module = read_run(EmulationModule, self.checkpoint)
        self.spec = self.module.spec
        self.data = open_data(record, zoo)
        self.zoo, self.problem = self.data.zoo, self.data.problem
        self.targets = self.problem.targets(self.zoo.steps)
        encoder = self.module.encoder
        self._heads = find_heads(predict, self.checkpoint, encoder, self.targets)
        self._neighbours, self._coverage, self._say = neighbours, coverage, say
        self._cell = cell

    @torch.no_grad()
    def inspect(self, rnn: OwnRNN) -> Inspection:
        """Inspect one RNN.

        Args:
            rnn: a file (``.safetensors``, ``.pt``, ``.pth``), a state dict, a module with one
                ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and one ``nn.Linear``, or weights
                ``(1, N)``.

        Raises:
            ValueError: for what is no RNN, one of another spec than the zoo's, or one with weights
                that nothing can be computed with.
        """
        weights, source = read_rnn(rnn, self.spec, self.checkpoint, self._cell)
        embedding = self.module.embed(weights)
        reference = self.reference  # first: an encoder that embeds none of the zoo's is no use
        if not bool(embedding.isfinite().all()):
            raise ValueError(
                f"{source or 'the RNN'} has weights so large that its embedding is nan"
            )
        point = as_points(embedding)
        neighbours = self._find_neighbours(point)
        properties = [reader.read(point, self._coverage) for reader in self._readers]
        imitation = imitate(self.module, self.problem, weights, embedding, reference)
        held_out = self.data.rows("validation")
        return Inspection(
            source=source,
            checkpoint=str(self.checkpoint.resolve()),
            zoo=str(self.zoo.path.resolve()),
            spec=self.spec.to_dict(),
            embedding=tuple(point[0].tolist()),
            properties=tuple(properties),
            neighbours=tuple(neighbours),
            imitation=imitation,
            skill=self._find_skill(weights, point, properties),
            fit=judge(weights, neighbours[0].distance, imitation, reference, held_out),
            coverage=self._coverage,
        )

    @cached_property
    def reference(self) -> Reference:
        """Measures of the zoo's RNNs."""
        return load_reference(self.checkpoint, self.module, self.data, self._say)

    @cached_property
    def _points(self) -> Array:
        return as_points(self.reference.embedding)

    @cached_property
    def _columns(self) -> dict[str, Tensor]:
        """What is known of the zoo's RNNs."""
        names = {target.column for target in self.targets.values()}
        return {
            name: self.zoo.read(name) for name in names | {"run", "step", "task", "performance"}
        }

    @cached_property
    def _split(self) -> list[str]:
        """The split that each of the zoo's RNNs is in."""
        splits = [""] * len(self.zoo)
        for name in self.data.eval_splits("predict"):
            for row in self.data.rows(name).tolist():
                splits[row] = name
        return splits

    @cached_property
    def _readers(self) -> list[PropertyReader]:
        """A reader for every property, by its head if there is one."""
        heads = {head.module.target: head for head in self._heads}
        known: dict[tuple[Any, ...], str] = {}
        for name, target in self.targets.items():  # one may be another again, as another kind
            known.setdefault((target.column, target.first, target.parts, target.values), name)
        names = [name for name in self.targets if name in heads or name in known.values()]
        return [self._make_reader(name, self.targets[name], heads.get(name)) for name in names]

    def _make_reader(self, name: str, target: Target, head: Head | None) -> PropertyReader:
        truth = target.of(self._columns).double().numpy()
        run = self._columns["run"].numpy()
        guesser: Guesser
        if head is None:
            kind = make_target(target.to_dict())
            guesser = NeighbourGuesser(kind, truth, self._points, run, self._neighbours)
            rows = held_out_rows(self.data)
        else:
            kind = head.module.kind
            guesser = HeadGuesser(head.module, str(head.path))
            rows = held_out_rows(open_data(head.record, self.zoo.path), self.data)
        held_out = guesser(self._points[rows], run[rows])
        spell = self._speller(target)
        return PropertyReader(name, target, kind, guesser, held_out, truth[rows], spell)

    def _speller(self, target: Target) -> Callable[[Sequence[float]], str] | None:
        """Return what names a target's values, where they say all of a task that differs at all."""
        task = self._columns["task"]
        before = task[0, : target.first]
        whole = target.first + target.parts == task.shape[1]
        if target.column != "task" or not whole or (task[:, : target.first] != before).any():
            return None
        return lambda values: self.problem.task_name([*before.tolist(), *values])

    def _find_neighbours(self, point: Array) -> list[Neighbour]:
        distances, rows = nearest(self._points, point, self._neighbours)
        found = []
        for distance, row in zip(distances[0].tolist(), rows[0].tolist(), strict=True):
            task = self._columns["task"][row].tolist()
            found.append(
                Neighbour(
                    row=row,
                    run=int(self._columns["run"][row]),
                    step=int(self._columns["step"][row]),
                    split=self._split[row],
                    task=tuple(task),
                    name=self.problem.task_name(task),
                    performance=float(self._columns["performance"][row]),
                    distance=distance,
                    cosine=1 - distance**2 / 2,
                )
            )
        return found

    def _find_skill(
        self, weights: RNNWeights, point: Array, properties: Sequence[Property]
    ) -> Skill:
        """Score the RNN on all tasks of the zoo, or those that its embedding suggests."""
        tasks = self._columns["task"].unique(dim=0)
        _, rows = nearest(self._points, point, MOST)
        near = self._columns["task"][torch.from_numpy(rows[0])]
        if len(tasks) > MOST:
            tasks = near.unique(dim=0)
        suggested = near[0].clone()
        for found in properties:
            target = self.targets[found.name]
            if target.column == "task" and not target.labels:
                start = target.first
                values = torch.tensor(found.values, dtype=suggested.dtype)
                suggested[start : start + target.parts] = values
        candidates = torch.cat([tasks, suggested[None]]).unique(dim=0)
        return find_skill(self.problem, weights, candidates)


def inspect_rnn(
    rnn: OwnRNN,
    ckpt: str | Path,
    zoo: str | Path | None = None,
    predict: Sequence[str | Path] = (),
    neighbours: int = NEIGHBOURS,
    coverage: float = COVERAGE,
    cell: str | None = None,
) -> Inspection:
    """Say what an encoder trained on a zoo sees in one RNN; ``wsrl inspect`` from Python.

    Args:
        rnn: as of ``Inspector.inspect``.
        ckpt: as of ``Inspector``, like all that follows.
        zoo: the zoo's folder, where it moved.
        predict: prediction runs.
        neighbours: how many of the nearest RNNs are named, and read.
        coverage: of the intervals.
        cell: of the RNN, where its state dict does not tell.

    Raises:
        ValueError: for an RNN, a run or a zoo that do not fit together.
    """
    return Inspector(ckpt, zoo, predict, neighbours, coverage, cell=cell).inspect(rnn)
