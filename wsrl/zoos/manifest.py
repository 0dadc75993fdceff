"""The manifest: one readable JSON file that says what a zoo holds and how it was made."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import wsrl
from wsrl.problems.base import Column, Problem
from wsrl.rnn import RNNSpec
from wsrl.strict_json import read_json
from wsrl.zoos.checks import check_manifest
from wsrl.zoos.files import create_atomically, write_atomically

SCHEMA = 1
MANIFEST = "manifest.json"
BACKUP = "manifest.backup.json"
SHARDS = "shards"


class ZooError(ValueError):
    """A zoo that is missing, unfinished, damaged, too new, or not the one that was asked for."""


@dataclass(frozen=True)
class Shard:
    """One file of snapshots: its name, rows, bytes and SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass
class Manifest:
    """What a zoo holds.

    Attributes:
        problem: name of the problem.
        problem_settings: the problem's own arguments.
        spec: the RNNs' spec as plain values.
        build: ``runs`` and ``snapshots`` (the steps there are); where we trained it, the rest of
            ``BuildSettings``.
        columns: dtype and row shape by name.
        versions: of the packages that made it, and the backend (``kernels on cpu``, say), on which
            the last bits of the weights depend; several where a build went on elsewhere.
        shards: the finished files in the order of their members.
        failed: runs with a loss, weights or outputs that were not finite (as stored), with the
            number of updates after which it was seen. Of runs trained elsewhere only the snapshots
            from that step on are left out.
        origin: ``built`` by us, ``official`` (a published zoo) or ``packed`` (a user's RNNs).
        source: what its origin has to say: plain values.
        complete: whether every shard is there.
        snapshot_updates: how many updates a snapshot labelled ``n`` has seen.
        schema: version of this layout.
    """

    problem: str
    problem_settings: dict[str, Any]
    spec: dict[str, Any]
    build: dict[str, Any]
    columns: dict[str, Column]
    versions: dict[str, str]
    shards: list[Shard] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    origin: str = "built"
    source: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    snapshot_updates: str = "n"
    schema: int = SCHEMA

    @classmethod
    def of(
        cls,
        problem: Problem,
        spec: RNNSpec,
        build: dict[str, Any],
        columns: dict[str, Column],
        **rest: Any,
    ) -> Manifest:
        """Describe a zoo that is about to be written by this process.

        Args:
            problem: what its RNNs were trained on.
            spec: the RNNs.
            build: as the attribute.
            columns: all but ``weights``, ``run`` and ``step``, which every zoo has.
            rest: further attributes.
        """
        every = {
            "weights": Column("F32", (spec.num_parameters,)),
            "run": Column("I64", ()),
            "step": Column("I64", ()),
        }
        versions = {
            "wsrl": wsrl.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        named = (problem.name, problem.settings(), spec.to_dict())
        return cls(*named, build, every | columns, versions, **rest)

    @property
    def rnn_spec(self) -> RNNSpec:
        """The spec of the RNNs."""
        return RNNSpec(**self.spec)

    def write(self, folder: Path, name: str = MANIFEST) -> None:
        """Replace the manifest of a folder; a reader sees the old one or the new one whole.

        Args:
            folder: the zoo's.
            name: the file: the manifest itself, or ``BACKUP``, a second copy of it.

        Raises:
            ZooError: for a manifest that ``read`` would refuse.
        """
        write_atomically(folder / name, self._content())

    def create(self, folder: Path, name: str = MANIFEST) -> bool:
        """Write it where there is none yet; of several processes one succeeds."""
        return create_atomically(folder / name, self._content())

    def _content(self) -> bytes:
        content = json.loads(json.dumps(asdict(self)))  # as it will be read
        try:
            check_manifest(content)
        except ValueError as error:
            raise ZooError(f"no zoo can be made so: {error}") from error
        content["sha256"] = checksum_of(content)  # of all the rest
        return json.dumps(content, indent=2).encode()

    @classmethod
    def read(cls, folder: Path, name: str = MANIFEST) -> Manifest:
        """Read a folder's manifest, or the copy of it under another name.

        Raises:
            ZooError: when there is none, it is no manifest, or it is of a newer schema.
        """
        path = folder / name
        if not folder.is_dir():
            raise ZooError(f"no zoo at {folder}: there is no such folder")
        if not path.is_file():
            raise ZooError(f"no zoo at {folder}: it holds no {name}{_advice(folder)}")
        try:
            return cls._of_content(read_json(path))
        except ZooError as error:
            raise ZooError(f"{path} {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ZooError(f"{path} is damaged: {_said(error)}{_advice(folder)}") from error

    @classmethod
    def _of_content(cls, content: dict[str, Any]) -> Manifest:
        schema = content["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise ZooError(
                f"has schema {schema}, this wsrl reads up to {SCHEMA}: install a newer wsrl"
            )
        claimed = content.pop("sha256", None)
        if claimed is not None and claimed != checksum_of(content):
            raise ValueError("its checksum differs")
        check_manifest(content)
        columns = {
            name: Column(column["dtype"], tuple(column["shape"]))
            for name, column in content.pop("columns").items()
        }
        shards = [Shard(**shard) for shard in content.pop("shards")]
        return cls(columns=columns, shards=shards, **content)


def _advice(folder: Path) -> str:
    """Say how a manifest can be had again, where it can."""
    return f". Run: wsrl zoo repair {folder}" if (folder / BACKUP).is_file() else ""


def checksum_of(content: dict[str, Any]) -> str:
    """Return the SHA-256 of plain values, as files carry it that name it themselves."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _said(error: Exception) -> str:
    """Say what an error says in a line of bounded length: it may quote the file."""
    text = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return text if len(text) < 500 else f"{text[:500]}..."
