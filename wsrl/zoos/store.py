"""Read a zoo from disk, rows of columns at a time."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.problems import Column, Problem, Target, create_problem
from wsrl.rnn import RNNInterface, RNNSpec, RNNWeights
from wsrl.zoos.labels import Labels
from wsrl.zoos.manifest import MANIFEST, SHARDS, Manifest, Shard, ZooError, checksum_of
from wsrl.zoos.shards import again, check_shards, finished
from wsrl.zoos.tensors import DiskTensor, disk_tensors


class Zoo:
    """A finished zoo: columns of snapshots, read from the disk when they are asked for.

    Rows are snapshots, in the order of the shards. ``open_zoo`` makes one of a folder.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        shards: Sequence[Mapping[str, Tensor | DiskTensor]],
        check: Callable[[], object] | None = None,
        include_failed: bool = False,
    ) -> None:
        self.path, self.manifest = path, manifest
        self._shards, self._check = shards, check
        self._sizes = torch.tensor([len(shard["run"]) for shard in shards])
        self._ends = self._sizes.cumsum(0)
        self._rows = torch.arange(int(self._ends[-1]))
        if manifest.failed and not include_failed:
            self._leave_out_failed()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def zoos(self) -> tuple["Zoo", ...]:
        """The zoos that this is made of, as ``ZooCollection`` says it: itself."""
        return (self,)

    @property
    def place(self) -> str:
        """Where it is, to read."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The checksum of its content, wherever it is; of published files, sizes and times."""
        files = [] if self.manifest.shards else sorted(self.path.glob("*.npy"))
        changed = {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
        return checksum_of({"manifest": asdict(self.manifest), "files": changed})

    @cached_property
    def spec(self) -> RNNSpec:
        """The spec of the RNNs."""
        return self.manifest.rnn_spec

    @property
    def specs(self) -> tuple[RNNSpec, ...]:
        """The different specs of the RNNs: one."""
        return (self.spec,)

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return self.spec.interface

    def zoo_of(self, rows: Tensor) -> Tensor:
        """Return which of ``zoos`` each of the rows ``(n,)`` is from: the first."""
        return torch.zeros_like(rows)

    def spec_of(self, rows: Tensor) -> list[RNNSpec]:
        """Return the spec of each of the rows ``(n,)``."""
        return [self.spec] * len(rows)

    def names(self, rows: Tensor, first_run: int = 0) -> list[str]:
        """Return a name for each of the rows ``(n,)``: of its file, in a packed zoo.

        Others are named by run and step; ``first_run`` is added to the number of the run.
        """
        source = self.manifest.source or {}
        names = source.get("names") or source.get("run_names") or []
        positions = self._rows[rows].tolist()
        if positions and len(names) > max(positions):
            return [str(names[position]) for position in positions]
        runs = (self.read("run", rows) + first_run).tolist()
        pairs = zip(runs, self.read("step", rows).tolist(), strict=True)
        return [f"run {run}, step {step}" for run, step in pairs]

    @cached_property
    def problem(self) -> Problem:
        """The problem the RNNs were trained on; ``ZooError``: there is none that fits."""
        path, manifest = self.path / MANIFEST, self.manifest
        try:
            problem = create_problem(manifest.problem, manifest.problem_settings)
            known, columns = problem.settings(), problem.columns()
        except Exception as error:  # a constructor not meant for such values raises anything
            raise ZooError(f"{path}: {str(error)[:500] or type(error).__name__}") from error
        if strange := sorted(manifest.problem_settings.keys() - known.keys()):
            what = f"settings that no zoo of {manifest.problem} has"
            raise ZooError(f"{path}: {what}: {', '.join(strange)}")
        sizes = (self.spec.input_size, self.spec.output_size)
        pairs: dict[str, Any] = {"spec": (sizes, (problem.input_size, problem.output_size))}
        for name in ("task", "performance", "sequences", "outputs"):
            pairs[f"column {name}"] = manifest.columns[name].shape, columns[name].shape
        for name, (held, wanted) in pairs.items():
            if held != wanted:
                raise ZooError(f"{path}: {name} is {held}, but its problem says {wanted}")
        return problem

    @cached_property
    def labels(self) -> Labels:
        """What its RNNs were labelled with afterwards (``label_zoo``)."""
        return Labels.read(self.path, self.read("run"), self.read("step"))

    @property
    def targets(self) -> dict[str, Target]:
        """What can be predicted of its RNNs, by name: the problem's, and its labels."""
        return {**self.labels.targets, **self.problem.targets(self.steps)}

    @property
    def columns(self) -> dict[str, Column]:
        """Dtype and row shape by name."""
        return self.manifest.columns

    @property
    def steps(self) -> tuple[int, ...]:
        """The training steps at which snapshots were taken."""
        return tuple(self.manifest.build["snapshots"])

    @property
    def sequences_stored(self) -> int:
        """How many sequences are stored with every snapshot."""
        return self.columns["sequences"].shape[0]

    def read(self, column: str, rows: Tensor | None = None) -> Tensor:
        """Return a copy ``(n, *shape)`` of one column, of rows ``(n,)`` or of all."""
        return self._read(column, torch.arange(len(self)) if rows is None else rows)

    def read_sequences(self, rows: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Return chosen sequences of snapshots and the outputs on them; no others are touched.

        Of rows ``(B,)`` and picks ``(B, S)`` among the stored sequences of each: ``(B, S,
        *sequence)`` and ``(B, S, T, O)``.
        """
        return self._read("sequences", rows, picks), self._read("outputs", rows, picks)

    def read_weights(self, rows: Tensor | None = None) -> RNNWeights:
        """Return RNNs, of rows ``(n,)`` or all."""
        return RNNWeights(self.read("weights", rows), self.spec)

    def check(self) -> None:
        """Check that the files are undamaged (``ZooError``), by checksums where there are any."""
        check_shards(self.path, self.manifest.shards) if self._check is None else self._check()

    def _read(self, name: str, rows: Tensor, picks: Tensor | None = None) -> Tensor:
        """Return rows ``(n,)`` of a column, or of each the parts ``(n, S)``."""
        if name not in self.columns and name in self.labels.columns and picks is None:
            return self.labels.columns[name][rows]
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise ZooError(f"the zoo at {self.path} has no column {name!r}, but {known}")
        if name in self.manifest.left_out:
            raise ZooError(f"the zoo at {self.path} is a catalogue, without {name}: give the zoo")
        column = self.columns[name]
        shape = (len(rows), *column.shape) if picks is None else (*picks.shape, *column.shape[1:])
        result = torch.empty(shape, dtype=column.torch_dtype)
        stored = self._rows[rows]
        shards = torch.searchsorted(self._ends, stored, right=True)
        for index in shards.unique().tolist():
            where = (shards == index).nonzero().squeeze(1)
            local = stored[where] - (self._ends[index] - self._sizes[index])
            at = local if picks is None else (local[:, None], picks[where])
            result[where] = self._shards[index][name][at]
        return result

    def _leave_out_failed(self) -> None:
        runs, steps = self.read("run"), self.read("step")
        kept = torch.ones(len(runs), dtype=torch.bool)
        for run, step in self.manifest.failed.items():
            # Of ours the whole run: what failed after ``step`` updates began to go wrong before.
            late = self.manifest.origin == "built" or steps >= step
            kept &= ~((runs == int(run)) & late)
        self._rows = self._rows[kept]


def open_store(folder: Path, include_failed: bool = False) -> Zoo:
    """Open a zoo in our own format."""
    manifest = Manifest.read(folder)
    if not manifest.complete:
        done, maker = len(finished(folder, manifest)), MAKERS[manifest.origin]
        raise ZooError(f"the zoo at {folder} is unfinished ({done} shards are done): run {maker}")
    home = os.path.realpath(folder)
    shards = [_open_shard(folder, manifest, shard, home) for shard in manifest.shards]
    return Zoo(folder, manifest, shards, include_failed=include_failed)


MAKERS = {"built": "wsrl zoo build", "official": "wsrl zoo import", "packed": "wsrl zoo pack"}
"""The command that makes a zoo, by its origin."""


def _open_shard(folder: Path, manifest: Manifest, shard: Shard, home: str) -> dict[str, DiskTensor]:
    path = folder / SHARDS / shard.file
    if not path.is_file():
        raise ZooError(f"the zoo is damaged: shard {path} is missing. {again(folder)}")
    if not Path(os.path.realpath(path)).is_relative_to(home):
        raise ZooError(f"shard {path} is a link that leads out of the zoo's folder")
    if (size := path.stat().st_size) != shard.bytes:
        raise ZooError(f"the zoo is damaged: shard {path} has {size} bytes. {again(folder)}")
    tensors = disk_tensors(path)
    for name, column in manifest.columns.items():
        if name in manifest.left_out:
            continue
        tensor = tensors.get(name)
        wanted = (shard.rows, *column.shape)
        if tensor is None or tensor.shape != wanted or tensor.dtype != column.torch_dtype:
            raise ZooError(f"the zoo is damaged: {path} has no column {name} of {wanted}")
    return tensors
