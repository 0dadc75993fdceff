"""Import published zoos into our own format, and export ours into theirs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.zoos.files import checksum
from wsrl.zoos.folder import write_folder
from wsrl.zoos.making import Making, make_zoos
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.open import open_one
from wsrl.zoos.published.kinds import EVALUATED_IMAGES, EVALUATED_STRINGS, KINDS, LARGE, Kind
from wsrl.zoos.published.npy import Header
from wsrl.zoos.published.reading import (
    ARGUMENTS,
    PUBLISHED_CELL,
    SIZES,
    PublishedHints,
    is_published,
    open_published,
)
from wsrl.zoos.shards import write_finished
from wsrl.zoos.store import Zoo

_CHUNK = 64  # rows written at once


def import_published(
    path: str | Path,
    out: str | Path,
    hints: PublishedHints | None = None,
    rows_per_shard: int = 256,
    quiet: bool = False,
    workers: int = 1,
    cluster: str | None = None,
) -> Manifest:
    """Import a published zoo, or go on with an import that was interrupted.

    Nothing of it is lost: ``export_published`` gives the same files again. Memory is bounded by
    ``rows_per_shard``, however large the zoo.

    Args:
        path: the folder of its files.
        out: the zoo's folder; new, empty, or holding this very zoo.
        hints: what the files do not say.
        rows_per_shard: snapshots of one shard.
        quiet: show no progress.
        workers: processes that import shards at once. The zoo is the same for any number.
        cluster: have a Dask cluster import the shards: the address of its scheduler, the file in
            which that wrote its address, or a YAML file that says which cluster to start (of so
            many ``workers``). All its machines must see both folders.

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: for files that are missing, damaged or do not fit one another; where the stored
            outputs do not follow from the weights; where ``out`` holds something else; and where
            writing fails, as on a full disk.
        ValueError: for ``rows_per_shard`` or ``workers`` below 1.
    """
    if rows_per_shard < 1:
        raise ValueError(f"rows_per_shard must be at least 1, not {rows_per_shard}")
    zoo = open_published(path, include_failed=True, hints=hints)
    zoo.check()
    names = zoo.manifest.source["headers"]
    sums = {f"sha256 of {name}": checksum(zoo.path / f"{name}.npy") for name in names}
    source = zoo.manifest.source | {"rows_per_shard": rows_per_shard} | sums
    shards = [(zoo, rows.numpy()) for rows in torch.arange(len(zoo)).split(rows_per_shard)]
    sizes = [len(rows) for _, rows in shards]
    manifest = replace(zoo.manifest, source=source)
    how: dict[str, Any] = {"workers": workers, "cluster": cluster, "quiet": quiet}
    try:
        return make_zoos([Making(Path(out), manifest, sizes, import_shard, shards)], **how)[0]
    except OSError as error:
        raise ZooError(
            f"the import of {path} stopped, {out} is unfinished ({error}): see to it (a full "
            "disk?) and run the same command again to go on"
        ) from error


def import_shard(folder: Path, index: int, zoo: Zoo, rows: NDArray[np.int64]) -> None:
    """Write rows of a published zoo as one shard."""
    where = torch.from_numpy(rows)
    write_finished(folder, index, {name: zoo.read(name, where) for name in zoo.columns}, {}, [])


def export_published(path: str | Path, out: str | Path) -> list[str]:
    """Write a zoo in the published format.

    An imported one becomes the files that it came from, byte for byte. Of others the snapshots
    keep their labels, and strings without EOS their BOS (the official script overwrites it).

    Args:
        path: a finished zoo in our format, of formal languages or tiled images.
        out: a new or empty folder.

    Returns:
        What the published format cannot hold of this zoo, each in one line; nothing for an
        imported one.

    Raises:
        ZooError: for a zoo that is damaged or that the format cannot hold, where ``out`` holds
            something or another process exports there, and where writing fails, as on a full disk.
    """
    source, target = Path(path), Path(out)
    if is_published(source):
        raise ZooError(f"{source} is in the published format already")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ZooError(f"{target} exists: choose an empty or a new folder")
    zoo = open_one(source, include_failed=True)
    kind = _kind(zoo)
    zoo.check()
    rows = torch.arange(len(zoo))
    if zoo.manifest.origin == "built":
        failed = torch.tensor([int(run) for run in zoo.manifest.failed], dtype=torch.int64)
        rows = rows[~torch.isin(zoo.read("run"), failed)]
    if not len(rows):
        raise ZooError(f"all runs in {source} failed in training: nothing is left to export")

    def refuse(holder: str) -> None:
        raise ZooError(f"{holder} exports to {target} right now: wait for it or stop it")

    try:
        write_folder(target, lambda folder: _write(zoo, kind, rows, folder), refuse)
    except OSError as error:
        raise ZooError(f"the export to {target} failed, nothing is left of it: {error}") from error
    return [] if zoo.manifest.origin == "official" else list(_lost(zoo, kind))


def _kind(zoo: Zoo) -> Kind:
    kinds = {kind.problem: kind for kind in KINDS}
    if zoo.manifest.problem not in kinds or zoo.manifest.origin not in ("built", "official"):
        raise ZooError(
            f"the published format holds zoos of {' or '.join(kinds)}, not of "
            f"{zoo.manifest.problem!r}, which {zoo.path} holds"
        )
    if zoo.spec != replace(zoo.spec, cell=PUBLISHED_CELL, bias=True):
        raise ZooError(f"the published format holds LSTMs with biases, {zoo.path} {zoo.spec}")
    return kinds[zoo.manifest.problem]


def _lost(zoo: Zoo, kind: Kind) -> Iterator[str]:
    settings, failed = zoo.problem.settings(), zoo.manifest.failed
    yield from (f"column {name}" for name in zoo.columns if name not in kind.held)
    for name, count in (
        ("evaluated_strings", EVALUATED_STRINGS),
        ("evaluated_images", EVALUATED_IMAGES),
    ):
        if settings.get(name, count) != count:
            yield f"{name} {settings[name]}: what was counted is written as if over {count}"
    if failed:
        yield f"{len(failed)} failed runs are left out: {', '.join(failed)}"
    yield "how it was built (settings, seeds, versions): only args.json says a little"
    yield "snapshot n is after n updates here: in published zoos it is after n + 1"


def _write(zoo: Zoo, kind: Kind, rows: Tensor, folder: Path) -> None:
    headers = zoo.manifest.source.get("headers", {})
    if not isinstance(headers, dict):
        raise ZooError(f"the headers in the manifest of {zoo.path} are no object")
    for chunk in rows.split(_CHUNK):
        columns = {name: zoo.read(name, chunk) for name in kind.held - {"generalization_gap"}}
        files = {file: columns[name] for name, file in (LARGE | {"task": "tasks"}).items()}
        for name, values in (files | kind.label_files(columns, zoo.problem)).items():
            array, path = values.numpy(), folder / f"{name}.npy"
            header = Header.of(array.dtype, (len(rows), *array.shape[1:]))
            if zoo.manifest.origin == "official":
                header = _known_header(headers.get(name), header.shape, kind, name)
            with path.open("ab") as file:
                if not file.tell():
                    file.write(header.text.encode("latin-1"))
                file.write(np.ascontiguousarray(array, header.dtype).tobytes())
    if (arguments := _arguments(zoo, kind)) is not None:
        (folder / ARGUMENTS).write_bytes(arguments.encode())


def _known_header(text: object, shape: tuple[int, ...], kind: Kind, name: str) -> Header:
    """Read the header that an imported file had; it is what the zoo's manifest says."""
    try:
        raw = str(text).encode("latin-1")
        header = Header.read(BytesIO(raw))
    except Exception as error:  # as where one is read from a file
        raise ZooError(f"the header of {name}.npy in the manifest is none: {error}") from error
    if header.shape != shape or len(header.text) != len(raw) or not kind.files[name].fits(header):
        raise ZooError(
            f"the header of {name}.npy in the manifest is of {header.shape} {header.dtype}, but to "
            f"be written are {shape}, {kind.files[name]}"
        )
    return header


def _arguments(zoo: Zoo, kind: Kind) -> str | None:
    """Return what ``args.json`` holds; for a zoo of ours, by the published names."""
    if zoo.manifest.origin == "official":
        text: object = zoo.manifest.source.get("arguments")
        if text is not None and not isinstance(text, str):
            raise ZooError(f"the arguments in the manifest of {zoo.path} are no text")
        return text
    build = zoo.manifest.build
    known = zoo.problem.settings() | zoo.spec.to_dict()
    named = {theirs: known[ours] for theirs, ours in (kind.arguments | SIZES).items()}
    about = {"seed": build.get("seed"), "num_training_runs": build["runs"]}
    return json.dumps(about | named | kind.constants)
