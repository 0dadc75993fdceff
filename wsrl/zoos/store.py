"""Read a zoo from disk, memory-mapped, and write its shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wsrl.rnn import RNNSpec
from wsrl.zoos.checks import DTYPES, parse_json
from wsrl.zoos.files import checksum, written_atomically
from wsrl.zoos.manifest import SHARDS, Manifest, Shard, ZooError
from wsrl.zoos.opened import problem_of
from wsrl.zoos.problems import Column, Problem
from wsrl.zoos.records import finished, shard_name
from wsrl.zoos.shards import again, check_shards, shard_file


class Zoo:
    """A finished zoo: columns of snapshots, read through the memory map.

    Rows are snapshots, in the order of the shards. ``open_zoo`` makes one of a folder.

    Args:
        path: the zoo's folder.
        manifest: what it holds.
        shards: the columns of every shard, ``(rows, *shape)`` each.
        check: what ``check`` does.
        include_failed: keep the snapshots of runs in which something was not finite.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        shards: Sequence[Mapping[str, Tensor]],
        check: Callable[[], object],
        include_failed: bool = False,
    ) -> None:
        self.path, self.manifest = path, manifest
        self._shards, self._check = shards, check
        self._sizes = torch.tensor([len(shard["run"]) for shard in shards])
        self._ends = self._sizes.cumsum(0)
        self._rows = self._kept_rows(int(self._ends[-1]), include_failed)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def spec(self) -> RNNSpec:
        """The spec of the RNNs."""
        return self.manifest.rnn_spec

    @cached_property
    def problem(self) -> Problem:
        """The problem the RNNs were trained on.

        Raises:
            ZooError: for a problem that is not known here, or does not fit the zoo's columns.
        """
        return problem_of(self.path, self.manifest)

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
        """Return one column.

        Args:
            column: its name.
            rows: ``(n,)`` indices of snapshots; all by default.

        Returns:
            ``(n, *shape)``, a copy.

        Raises:
            ZooError: for an unknown column.
        """
        spec = self._column(column)
        result = torch.empty((len(self if rows is None else rows), *spec.shape), dtype=_dtype(spec))
        for shard, where, local in self._locate(rows):
            result[where] = shard[column][local]
        return result

    def read_sequences(self, rows: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        """Return chosen sequences of snapshots and the outputs on them; no others are touched.

        Args:
            rows: ``(B,)`` indices of snapshots.
            picks: ``(B, S)``, which of the stored sequences of each.

        Returns:
            ``(B, S, *sequence)`` and ``(B, S, T, O)``.
        """
        results = []
        for column in ("sequences", "outputs"):
            spec = self._column(column)
            result = torch.empty((*picks.shape, *spec.shape[1:]), dtype=_dtype(spec))
            for shard, where, local in self._locate(rows):
                result[where] = shard[column][local[:, None], picks[where]]
            results.append(result)
        return results[0], results[1]

    def check(self) -> None:
        """Check that the files are undamaged: against their checksums, where there are any.

        Raises:
            ZooError: naming what is wrong.
        """
        self._check()

    def _column(self, name: str) -> Column:
        if name not in self.columns:
            raise ZooError(
                f"the zoo at {self.path} has no column {name!r}, but {', '.join(self.columns)}"
            )
        return self.columns[name]

    def _locate(self, rows: Tensor | None) -> Iterator[tuple[Mapping[str, Tensor], Tensor, Tensor]]:
        """Yield each shard that holds some of the rows, where they go, and where they are."""
        stored = self._rows if rows is None else self._rows[rows]
        shards = torch.searchsorted(self._ends, stored, right=True)
        for index in shards.unique().tolist():
            where = (shards == index).nonzero().squeeze(1)
            start = self._ends[index] - self._sizes[index]
            yield self._shards[index], where, stored[where] - start

    def _kept_rows(self, total: int, include_failed: bool) -> Tensor:
        rows = torch.arange(total)
        if include_failed or not self.manifest.failed:
            return rows
        runs, steps = (
            torch.cat([shard[name] for shard in self._shards]) for name in ("run", "step")
        )
        kept = torch.ones(total, dtype=torch.bool)
        for run, step in self.manifest.failed.items():
            # Of ours the whole run: what failed after ``step`` updates began to go wrong before.
            late = self.manifest.origin == "built" or steps >= step
            kept &= ~((runs == int(run)) & late)
        return rows[kept]


def open_store(folder: Path, include_failed: bool = False) -> Zoo:
    """Open a zoo in our own format.

    Raises:
        ZooError: for a folder that holds no finished, readable zoo.
    """
    manifest = Manifest.read(folder)
    if not manifest.complete:
        done = len(finished(folder, manifest))
        raise ZooError(
            f"the zoo at {folder} is unfinished ({done} shards are done): run the command that "
            f"makes it again to finish it ({MAKERS[manifest.origin]})"
        )
    shards = [_open_shard(folder, manifest, shard) for shard in manifest.shards]
    return Zoo(
        folder, manifest, shards, lambda: check_shards(folder, manifest.shards), include_failed
    )


MAKERS = {
    "built": "wsrl zoo build",
    "official": "wsrl zoo import",
    "packed": "wsrl zoo pack",
}
"""The command that makes a zoo, by its origin."""


def _open_shard(folder: Path, manifest: Manifest, shard: Shard) -> dict[str, Tensor]:
    path = shard_file(folder, shard)
    if path.stat().st_size != shard.bytes:
        raise ZooError(
            f"the zoo is damaged: shard {path} has {path.stat().st_size} bytes, "
            f"its manifest says {shard.bytes}. {again(folder)}"
        )
    tensors = read_tensors(path)
    for name, column in manifest.columns.items():
        tensor = tensors.get(name)
        wanted = (shard.rows, *column.shape)
        if tensor is None or tensor.shape != wanted or tensor.dtype != _dtype(column):
            raise ZooError(f"the zoo is damaged: {path} has no column {name} of {wanted}")
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, memory-mapped.

    Raises:
        ZooError: for a file that is none.
    """
    if not path.is_file():
        raise ZooError(f"{path} is no regular file")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a dict
    except Exception as error:  # of dtypes that are not torch's, the library raises this and that
        raise ZooError(f"{path} is damaged: {error}") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON that ``write_tensors`` put into a file's header.

    Raises:
        ZooError: for a file that has none.
    """
    try:
        with safe_open(path, "pt") as file:
            return parse_json(file.metadata()["wsrl"].encode())
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{path} is damaged: {error!r}") from error


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a file is to hold, whatever the order it is written in."""
    result = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        result.update(memoryview(plain.view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return result.hexdigest()


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write a safetensors file atomically.

    Args:
        path: the file; its folder is made if need be.
        tensors: by name.
        metadata: plain values for its header.
        check: called when all is written, before it takes the file's place; may raise.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as file:
        file.write(save(plain, {"wsrl": json.dumps(metadata)}))
        check()


def write_shard(
    folder: Path,
    index: int,
    columns: Mapping[str, Tensor],
    check: Callable[[], None] = lambda: None,
) -> Shard:
    """Write the snapshots of one group and return its entry for the manifest.

    ``check`` is called as by ``write_tensors``.
    """
    path = folder / SHARDS / shard_name(index)
    write_tensors(path, columns, {"group": index}, check)
    rows = len(columns["weights"])
    return Shard(path.name, rows, path.stat().st_size, checksum(path))


def _dtype(column: Column) -> torch.dtype:
    if column.dtype not in DTYPES:
        raise ZooError(f"a column of unknown dtype {column.dtype!r}; known: {', '.join(DTYPES)}")
    return DTYPES[column.dtype]
