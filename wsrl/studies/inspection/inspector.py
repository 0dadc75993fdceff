"""An encoder with its zoo, ready to inspect RNNs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsrl.analysis.calibration import Standing
from wsrl.analysis.neighbours import nearest
from wsrl.rnn import RNNWeights, run_population
from wsrl.studies.inspection.guessers import HeadGuesser, NeighbourGuesser
from wsrl.studies.inspection.heads import Head, find_heads
from wsrl.studies.inspection.readers import Array, Guesser, PropertyReader
from wsrl.studies.inspection.records import (
    Fit,
    Imitation,
    Inspection,
    Neighbour,
    Property,
    Skill,
)
from wsrl.studies.inspection.reference import (
    SEQUENCES,
    Reference,
    as_points,
    imitation_error,
    imitation_metric,
    load_reference,
    tensor_sizes,
)
from wsrl.studies.inspection.skills import MOST, find_skill
from wsrl.studies.inspection.sources import (
    OwnRNN,
    find_checkpoint,
    open_data,
    read_emulation,
    read_rnn,
)
from wsrl.tasks import EmulationModule
from wsrl.zoos.problems import Target

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
    ) -> None:
        if neighbours < 1:
            raise ValueError(f"at least one neighbour is needed, not {neighbours}")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, not {coverage}")
        self.checkpoint = find_checkpoint(ckpt)
        record = read_emulation(self.checkpoint)
        self.module = EmulationModule.load_from_checkpoint(
            self.checkpoint, map_location="cpu"
        ).eval()
        self.spec = self.module.spec
        self.data = open_data(record, zoo)
        self.zoo, self.problem = self.data.zoo, self.data.problem
        self._targets = self.problem.targets(self.zoo.steps)
        encoder = self.module.encoder
        self._heads = find_heads(predict, self.checkpoint, encoder, self._targets)
        self._neighbours, self._coverage, self._say = neighbours, coverage, say

    @torch.no_grad()
    def inspect(self, rnn: OwnRNN) -> Inspection:
        """Inspect one RNN.

        Args:
            rnn: a file (``.safetensors``, ``.pt``, ``.pth``), a state dict, a module with one
                ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and one ``nn.Linear``, or weights
                ``(1, N)``.

        Raises:
            ValueError: for what is no RNN, or one of another spec than the zoo's.
        """
        weights, source = read_rnn(rnn, self.spec, self.checkpoint)
        embedding = self.module.embed(weights)
        point = as_points(embedding)
        neighbours, distance = self._find_neighbours(point)
        properties = [reader.read(point, self.problem, self._coverage) for reader in self._readers]
        imitation = self._imitate(weights, embedding)
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
            fit=self._judge(weights, distance, imitation),
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
        names = {target.column for target in self._targets.values()}
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
        known = [
            (name, target)
            for name, target in self._targets.items()
            if name in heads or not (target.kind == "real" and target.period)  # the angle again
        ]
        return [self._make_reader(name, target, heads.get(name)) for name, target in known]

    def _make_reader(self, name: str, target: Target, head: Head | None) -> PropertyReader:
        truth = target.of(self._columns).double().numpy()
        run = self._columns["run"].numpy()
        guesser: Guesser
        if head is None:
            guesser = NeighbourGuesser(target, truth, self._points, run, self._neighbours)
            rows = self.data.rows("validation")
        else:
            guesser = HeadGuesser(head.module, str(head.path))
            rows = open_data(head.record, self.zoo.path).rows("validation")
        held_out = guesser(self._points[rows], run[rows])
        return PropertyReader(name, target, guesser, held_out, truth[rows])

    def _find_neighbours(self, point: Array) -> tuple[list[Neighbour], float]:
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
        return found, float(distances[0, 0])

    def _imitate(self, weights: RNNWeights, embedding: Tensor) -> Imitation:
        """Compare emulator and RNN on the zoo's sequences and on those that the RNN writes."""
        reference = self.reference

        def error(inputs: Tensor) -> float:
            answers, _ = run_population(weights, inputs)
            return float(imitation_error(self.module, embedding, inputs, answers))

        written = self.problem.write_sequences(
            lambda inputs, state: run_population(weights, inputs, state),
            min(SEQUENCES, self.zoo.sequences_stored),
            torch.Generator().manual_seed(0),
        )
        own = None
        if written is not None:
            value = error(self.problem.encode(written))
            own = Standing.among(value, reference.own_imitation)
        on_zoo = Standing.among(error(reference.probes[None]), reference.zoo_imitation)
        return Imitation(imitation_metric(self.module), on_zoo, own)

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
            target = self._targets[found.name]
            if target.column == "task" and not target.labels:
                start = target.first
                values = torch.tensor(found.values, dtype=suggested.dtype)
                suggested[start : start + target.parts] = values
        candidates = torch.cat([tasks, suggested[None]]).unique(dim=0)
        return find_skill(self.problem, weights, candidates)

    def _judge(self, weights: RNNWeights, distance: float, imitation: Imitation) -> Fit:
        reference = self.reference
        sizes = reference.sizes.numpy()
        mean, spread = sizes.mean(0), sizes.std(0).clip(min=1e-6)
        deviations = (tensor_sizes(weights).numpy() - mean) / spread
        held_out = np.abs((sizes[self.data.rows("validation")] - mean) / spread).max(1)
        far = Standing.among(distance, reference.distance)
        strange = Standing.among(float(np.abs(deviations).max()), held_out)
        names = [tensor.name for tensor in self.spec.tensors]
        tensors = dict(zip(names, deviations[0].tolist(), strict=True))
        reasons = []
        if far.extreme:
            reasons.append("no RNN of the zoo has an embedding as near as theirs have")
        if strange.extreme:
            largest = max(tensors, key=lambda name: abs(tensors[name]))
            reasons.append(f"its weights are of another size than the zoo's, {largest} most of all")
        for where, standing in (("the zoo's", imitation.zoo), ("its own", imitation.own)):
            if standing is not None and standing.extreme:
                reasons.append(f"the emulator imitates it worse than theirs on {where} sequences")
        return Fit("outside" if reasons else "within", tuple(reasons), far, strange, tensors)


def inspect_rnn(
    rnn: OwnRNN,
    ckpt: str | Path,
    zoo: str | Path | None = None,
    predict: Sequence[str | Path] = (),
    neighbours: int = NEIGHBOURS,
    coverage: float = COVERAGE,
) -> Inspection:
    """Say what an encoder trained on a zoo sees in one RNN; ``wsrl inspect`` from Python.

    Args:
        rnn: as of ``Inspector.inspect``.
        ckpt: as of ``Inspector``, like all that follows.
        zoo: the zoo's folder, where it moved.
        predict: prediction runs.
        neighbours: how many of the nearest RNNs are named, and read.
        coverage: of the intervals.

    Raises:
        ValueError: for an RNN, a run or a zoo that do not fit together.
    """
    return Inspector(ckpt, zoo, predict, neighbours, coverage).inspect(rnn)
