"""An encoder with its zoo, ready to inspect RNNs."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsrl.analysis.neighbours import nearest
from wsrl.encoders import embed
from wsrl.hints import Hints
from wsrl.problems import Target
from wsrl.rnn import RNNs, RNNSpec, read_interface
from wsrl.studies.inspection.readers import Array, PropertyReader, by_head, by_neighbours
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
    Folders,
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
    """An encoder with its emulator, its zoo and the heads that read it; see ``inspect_rnn``.

    The zoo's RNNs are measured when the first RNN is inspected; ``say`` is told of it.
    """

    def __init__(
        self,
        ckpt: str | Path,
        zoo: Folders | None = None,
        predict: Sequence[str | Path] = (),
        neighbours: int = NEIGHBOURS,
        coverage: float = COVERAGE,
        say: Callable[[str], object] = lambda text: None,
        hints: Hints | None = None,
    ) -> None:
        if neighbours < 1:
            raise ValueError(f"at least one neighbour is needed, not {neighbours}")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, not {coverage}")
        self.checkpoint = find_checkpoint(ckpt)
        record, self.module = read_run(EmulationModule, self.checkpoint)
        self.data, encoder = open_data(record, zoo), self.module.encoder
        encoder.check_reads(encoder.spec, [read_interface(self.data.spec)])
        self.zoo, self.problem = self.data.zoo, self.data.problem
        self.targets = self.zoo.targets
        self._heads = find_heads(predict, self.checkpoint, self.module.encoder, self.targets)
        self._neighbours, self._coverage, self._say = neighbours, coverage, say
        self.hints = hints or Hints()

    @torch.no_grad()
    def inspect(self, rnn: OwnRNN, hints: Hints | None = None) -> Inspection:
        """Inspect one RNN; ``hints`` are those of it alone, by default those given for all."""
        found, source, notes = read_rnn(rnn, self.module.encoder, hints or self.hints)
        embedding = embed(self.module.encoder, found)
        reference = self.reference  # first: an encoder that embeds none of the zoo's is no use
        if not bool(embedding.isfinite().all()):
            raise ValueError(f"{source or 'the RNN'} has weights so large: its embedding is nan")
        point = as_points(embedding)
        neighbours = self._find_neighbours(point)
        properties = [reader.read(point, self._coverage) for reader in self._readers]
        imitation = imitate(self.module, self.problem, found, embedding, reference)
        place = self.data.hparams["zoo"]
        return Inspection(
            source=source,
            checkpoint=str(self.checkpoint.resolve()),
            zoo=place if isinstance(place, str) else ", ".join(place),
            spec=found.specs[0].to_dict(),
            assumed=notes,
            trained_on=tuple(spec.to_dict() for spec in self._specs),
            embedding=tuple(point[0].tolist()),
            properties=tuple(properties),
            neighbours=tuple(neighbours),
            imitation=imitation,
            skill=self._find_skill(found, point, properties),
            fit=judge(found, neighbours[0].distance, imitation, reference, self.data),
            coverage=self._coverage,
        )

    @cached_property
    def reference(self) -> Reference:
        """Measures of the zoo's RNNs."""
        return load_reference(self.checkpoint, self.module, self.data, self._say)

    @property
    def _specs(self) -> tuple[RNNSpec, ...]:
        """What the encoder was trained on: its own spec, or those of the zoo."""
        own = self.module.encoder.spec
        return (own,) if isinstance(own, RNNSpec) else self.data.zoo.specs

    @cached_property
    def _points(self) -> Array:
        return as_points(self.reference.embedding)

    @cached_property
    def _columns(self) -> dict[str, Tensor]:
        """What is known of the zoo's RNNs."""
        names = {"run", "step", "task", "performance", *(t.column for t in self.targets.values())}
        return {name: self.zoo.read(name) for name in names}

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
        truth, run = target.of(self._columns).double().numpy(), self._columns["run"].numpy()
        if head is None:
            kind, source = make_target(target.to_dict()), "neighbours"
            guess = by_neighbours(kind, truth, self._points, run, self._neighbours)
            rows = held_out_rows(self.data)
        else:
            kind, source, guess = head.module.kind, str(head.path), by_head(head.module)
            rows = held_out_rows(open_data(head.record, self.data.hparams["zoo"]), self.data)
        rows = rows[np.isfinite(truth[rows]).all(1)]
        held_out = guess(self._points[rows], run[rows])
        spell = self._speller(target)
        return PropertyReader(name, target, kind, source, guess, held_out, truth[rows], spell)

    def _speller(self, target: Target) -> Callable[[Sequence[float]], str] | None:
        """Return what names a target's values, where they say all of a task that differs at all."""
        task = self._columns["task"]
        before = task[0, : target.first]
        whole = target.first + target.parts == task.shape[1]
        if target.column != "task" or not whole or (task[:, : target.first] != before).any():
            return None
        return lambda values: self.problem.task_name([*before.tolist(), *values])

    def _find_neighbours(self, point: Array) -> list[Neighbour]:
        splits = {name: self.data.rows(name) for name in self.data.eval_splits("predict")}
        (distances,), (rows,) = nearest(self._points, point, self._neighbours)
        found, places = [], torch.from_numpy(rows)
        told = (self.zoo.spec_of(places), self.zoo.names(places), rows.tolist(), distances.tolist())
        for spec, file, row, distance in zip(*told, strict=True):
            known: dict[str, Any] = {"rnn": str(spec), "file": file}
            names = ("run", "step", "task", "performance")
            known |= {name: self._columns[name][row].tolist() for name in names}
            known |= {"task": tuple(known["task"]), "name": self.problem.task_name(known["task"])}
            split = ["", *(name for name, own in splits.items() if row in own)][-1]
            cosine = 1 - distance**2 / 2
            found.append(Neighbour(row, split=split, distance=distance, cosine=cosine, **known))
        return found

    def _find_skill(self, rnn: RNNs, point: Array, properties: Sequence[Property]) -> Skill:
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
        (spec,) = rnn.specs  # of a black box the sizes of inputs and outputs
        untrained = spec if isinstance(spec, RNNSpec) else self.zoo.specs[0]
        return find_skill(self.problem, rnn, candidates, untrained)


def inspect_rnn(
    rnn: OwnRNN,
    ckpt: str | Path,
    zoo: Folders | None = None,
    predict: Sequence[str | Path] = (),
    neighbours: int = NEIGHBOURS,
    coverage: float = COVERAGE,
    cell: str | None = None,
    reference: str | Path | None = None,
    ignore: Sequence[str] = (),
    said: Mapping[str, Any] | None = None,
) -> Inspection:
    """Say what an encoder trained on a zoo sees in one RNN; ``wsrl inspect`` from Python.

    Args:
        rnn: a file (``.safetensors``, ``.pt``, ``.pth``), a state dict, a module with one
            ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and one ``nn.Linear``, weights ``(1, N)``, or,
            for an encoder that only asks, a ``BlackBox``.
        ckpt: the folder of an emulation run (its best checkpoint) or a checkpoint.
        zoo: the zoo's folder, or several, where it is not the one that the run was trained on, or
            moved.
        predict: prediction runs, or their checkpoints; those beside the encoder's run are found.
            A property that none of them predicts is read off the nearest RNNs.
        neighbours: how many of the nearest RNNs are named, and read.
        coverage: of the intervals.
        cell: of the RNN; needed for the state dict of an ``nn.RNN``, which does not say whether
            it is ``tanh``.
        reference: a file of outputs to compare with, as ``wsrl.read_rnn`` takes it.
        ignore: keys of the file, or modules, that are no part of the RNN.
        said: more that the file does not say, as ``wsrl.read_rnn`` takes it.

    Raises:
        ValueError: for a run, zoo or prediction run that does not fit, and for what is no RNN that
            the encoder reads, with finite weights or answers.
    """
    given = None if reference is None else str(reference)
    hints = Hints(cell, given, list(ignore), dict(said or {}))
    return Inspector(ckpt, zoo, predict, neighbours, coverage, hints=hints).inspect(rnn)
