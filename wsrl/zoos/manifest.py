"""The manifest: one readable JSON file that says what a zoo holds and how it was made."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import FailFast, Field, model_validator

import wsrl
from wsrl.problems.base import Problem
from wsrl.problems.columns import Column
from wsrl.rnn import RNNSpec, list_cells
from wsrl.strict_json import read_json
from wsrl.validation import checked, from_json, short
from wsrl.zoos.files import write_atomically
from wsrl.zoos.settings import BuildSettings, Size, Step

SCHEMA = 1
MANIFEST = "manifest.json"
BACKUP = "manifest.backup.json"
SHARDS, PROGRESS = "shards", "progress"

EVERY = {"weights", "run", "step", "task", "performance", "sequences", "outputs"}


class ZooError(ValueError):
    """A zoo that is missing, unfinished, damaged, too new, or not the one that was asked for."""


Failed = dict[Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,17})$")], Step]
"""Runs that failed, by number, and the step at which it was seen."""


@checked
class Shard:
    """One file of snapshots."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}\.safetensors$")]
    rows: Size
    bytes: Size
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@checked
class Steps:
    """What the ``build`` of every zoo says."""

    runs: Size
    snapshots: Annotated[list[Step], Field(min_length=1), FailFast()]


@checked
class Manifest:
    """What a zoo holds.

    Attributes:
        problem: name of the problem.
        problem_settings: the problem's own arguments.
        spec: the RNNs' spec as plain values.
        build: ``runs`` and ``snapshots`` (the steps there are); where we trained it, the rest of
            ``BuildSettings``.
        columns: dtype and row shape by name.
        versions: of the packages that made it, and the backends (``kernels on cpu``, say), on which
            the last bits of the weights depend.
        shards: the finished files in the order of their members.
        failed: runs with a loss, weights or outputs that were not finite (as stored), with the
            number of updates after which it was seen. Of runs trained elsewhere only the snapshots
            from that step on are left out.
        origin: ``built`` by us, ``official`` (a published zoo) or ``packed`` (a user's RNNs).
        source: what its origin has to say: plain values.
        complete: whether every shard is there; ``False`` of a published zoo that is read as it is.
        snapshot_updates: how many updates a snapshot labelled ``n`` has seen.
        left_out: columns that a catalogue, a copy for those who need the labels alone, lacks.
        schema: version of this layout.
    """

    problem: str
    problem_settings: dict[str, Any]
    spec: dict[str, Any]
    build: dict[str, Any]
    columns: Annotated[dict[str, Column], Field(max_length=100_000)]
    versions: dict[str, str]
    shards: Annotated[list[Shard], FailFast()]
    failed: Failed
    complete: bool
    origin: Literal["built", "official", "packed"] = "built"
    source: dict[str, Any] = field(default_factory=dict)
    snapshot_updates: Literal["n", "n + 1"] = "n"
    left_out: list[str] = field(default_factory=list)
    schema: Annotated[int, Field(ge=1)] = SCHEMA

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        if len({shard.file for shard in self.shards}) < len(self.shards):
            raise ValueError("it lists one shard twice")
        try:
            spec = self.rnn_spec
        except TypeError as error:
            raise ValueError(f"spec: {error}") from error
        if lacking := sorted(EVERY - self.columns.keys()):
            raise ValueError(f"it has no columns {', '.join(lacking)}")
        for name, column in _every(spec).items():
            if self.columns[name] != column:
                held = self.columns[name]
                raise ValueError(f"column {name} is {held}, but RNNs ({spec}) need {column}")
        self._check_build()
        return self

    def _check_build(self) -> None:
        """Check runs and snapshots, and of a finished zoo that so many are there."""
        build, rows = self.build, sum(shard.rows for shard in self.shards)
        said = from_json(Steps, {n: build[n] for n in ("runs", "snapshots") if n in build})
        runs, count, built = said.runs, len(said.snapshots), self.origin == "built"
        if said.snapshots != sorted(set(said.snapshots)):
            raise ValueError(f"snapshots must ascend: {short(said.snapshots)}")
        if built:
            known = {f.name for f in fields(BuildSettings)} & build.keys()
            BuildSettings(**{name: build[name] for name in known})
            other = [n for n in self.spec.keys() & build.keys() if self.spec[n] != build[n]]
            if other:
                raise ValueError(f"build and spec differ in {', '.join(sorted(other))}")
        if len(self.failed) > runs:
            raise ValueError(f"{len(self.failed)} of {runs} runs failed")
        wrong = max(runs, count) > rows or (built and rows != runs * count)
        if self.complete and wrong:
            raise ValueError(f"its shards hold {rows} rows, not {runs} runs x {count} snapshots")

    @classmethod
    def of(
        cls,
        problem: Problem,
        spec: RNNSpec,
        build: dict[str, Any],
        columns: dict[str, Column],
        **rest: Any,
    ) -> Manifest:
        """Describe a zoo that this process begins; ``columns`` but those that every zoo has."""
        python = platform.python_version()
        versions = {"wsrl": wsrl.__version__, "torch": torch.__version__, "python": python}
        named = (problem.name, problem.settings(), spec.to_dict())
        begun: dict[str, Any] = {"shards": [], "failed": {}, "complete": False}
        try:
            return cls(*named, build, _every(spec) | columns, versions, **begun | rest)
        except ValueError as error:
            raise ZooError(f"no zoo can be made so: {error}") from error

    @property
    def rnn_spec(self) -> RNNSpec:
        """The spec of the RNNs."""
        return RNNSpec(**self.spec)

    @property
    def settings(self) -> BuildSettings:
        """How a zoo that was built here is built; settings that are not known are an error."""
        try:
            return BuildSettings(**self.build)
        except ValueError as error:
            raise ZooError(f"the manifest does not say how its zoo is built: {error}") from error

    def write(self, folder: Path, name: str = MANIFEST) -> None:
        """Replace a folder's manifest, or its copy ``BACKUP``; a reader sees a whole one."""
        write_with_checksum(folder / name, asdict(self))

    @classmethod
    def read(cls, folder: Path, name: str = MANIFEST) -> Manifest:
        """Read a folder's manifest, or its copy ``BACKUP``; raises ``ZooError``."""
        path = folder / name
        if not folder.is_dir():
            raise ZooError(f"no zoo at {folder}: there is no such folder")
        repair = f". Run: wsrl zoo repair {folder}" if (folder / BACKUP).is_file() else ""
        if not path.is_file():
            held = f"no {name}, nor arrays of a published zoo"
            raise ZooError(f"no zoo at {folder}: it holds {held}{repair}")
        try:
            content = read_with_checksum(path)
            _check_readable(content)
            return from_json(cls, content)
        except ZooError as error:
            raise ZooError(f"{path} {error}") from error
        except (ValueError, RecursionError) as error:
            raise ZooError(f"{path} is damaged: {error}{repair}") from error


def _check_readable(content: dict[str, Any]) -> None:
    """Refuse manifests of a later schema, or of RNNs that are not known here."""
    schema, spec = content.get("schema"), content.get("spec")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ZooError(f"has schema {schema}, this wsrl reads up to {SCHEMA}: install a newer wsrl")
    cell = spec.get("cell") if isinstance(spec, dict) else None
    word = cell.partition("(")[0] if isinstance(cell, str) else ""
    if word.isidentifier() and len(word) < 100 and word not in list_cells():
        hint = "install its package, or import the module that registers it (--import MODULE)"
        raise ZooError(f"holds RNNs of the cell {word!r}, which is not registered: {hint}")


def _every(spec: RNNSpec) -> dict[str, Column]:
    """Return the columns that every zoo has."""
    one = Column("I64", ())
    return {"weights": Column("F32", (spec.num_parameters,)), "run": one, "step": one}


def write_with_checksum(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as JSON, with the checksum of all the rest."""
    content = json.loads(json.dumps(values))  # as it will be read
    content["sha256"] = checksum_of(content)
    write_atomically(path, json.dumps(content, indent=2).encode())


def read_with_checksum(path: Path, required: bool = False) -> dict[str, Any]:
    """Read what ``write_with_checksum`` wrote; one written by hand may have no checksum."""
    content = read_json(path)
    claimed = content.pop("sha256", None)
    if (required or claimed is not None) and claimed != checksum_of(content):
        raise ValueError("its checksum differs")
    return content


def checksum_of(content: dict[str, Any]) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
