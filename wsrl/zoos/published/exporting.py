"""Export a zoo into the published format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from wsrl.zoos.disk_tensors import disk_tensors
from wsrl.zoos.files import PARTIAL, remove
from wsrl.zoos.leases import LeaseLostError, Standing
from wsrl.zoos.manifest import SHARDS, ZooError
from wsrl.zoos.open import open_zoo
from wsrl.zoos.published.hints import ARGUMENTS, PUBLISHED_CELL, SIZES
from wsrl.zoos.published.kinds import EVALUATED_IMAGES, EVALUATED_STRINGS, KINDS, Kind
from wsrl.zoos.published.npy import Header, NpyWriter, checked_header
from wsrl.zoos.published.reading import is_published
from wsrl.zoos.sole import sole
from wsrl.zoos.store import Zoo

_CHUNK = 64  # rows written at once


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
    zoo = open_zoo(source, include_failed=True)
    kind = _kind(zoo)
    zoo.check()
    if not _kept(zoo).any():
        raise ZooError(f"all runs in {source} failed in training: nothing is left to export")
    lost = [] if zoo.manifest.origin == "official" else _lost(zoo, kind)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with sole(target.parent, f".{target.name}", partial(_refuse, target)) as lease:
            whole = target.with_name(f".{target.name}{PARTIAL}")
            remove(whole)
            try:
                whole.mkdir()
                _write(zoo, kind, whole)
                lease.check()
                whole.replace(target)
            finally:
                if not lease.lost:
                    shutil.rmtree(whole, ignore_errors=True)
    except (OSError, LeaseLostError) as error:
        raise ZooError(f"the export to {target} failed, nothing is left of it: {error}") from error
    return lost


def _refuse(target: Path, standing: Standing) -> None:
    if standing.alive:
        raise ZooError(f"{standing.holder} exports to {target} right now: wait for it or stop it")


def _kind(zoo: Zoo) -> Kind:
    kinds = {kind.problem: kind for kind in KINDS}
    if zoo.manifest.problem not in kinds or zoo.manifest.origin not in ("built", "official"):
        raise ZooError(
            f"the published format holds zoos of {' or '.join(kinds)}, not of "
            f"{zoo.manifest.problem!r}, which {zoo.path} holds"
        )
    if zoo.spec != replace(zoo.spec, cell=PUBLISHED_CELL, bias=True):
        raise ZooError(f"the published format holds LSTMs with biases, {zoo.path} {zoo.spec}")
    kind = kinds[zoo.manifest.problem]
    derived = {"generalization_gap", "performance"}
    if lacking := sorted(kind.held - derived - zoo.columns.keys()):
        raise ZooError(f"{zoo.path} has no columns {', '.join(lacking)}, which the files hold")
    return kind


def _lost(zoo: Zoo, kind: Kind) -> list[str]:
    settings, failed = zoo.manifest.problem_settings, zoo.manifest.failed
    lost = [f"column {name}" for name in zoo.columns if name not in kind.held]
    count = settings.get("evaluated_strings", EVALUATED_STRINGS)
    if count != EVALUATED_STRINGS:
        lost.append(f"accepted of {count} strings: written as if of {EVALUATED_STRINGS}, rounded")
    images = settings.get("evaluated_images", EVALUATED_IMAGES)
    if images != EVALUATED_IMAGES:
        lost.append(f"losses over at most {images} images: read as over {EVALUATED_IMAGES}")
    if settings.get("acceptor", "counts") != "counts":
        lost.append("performance by order: only the strings accepted by counts are written")
    if failed:
        lost.append(f"{len(failed)} failed runs are left out: {', '.join(failed)}")
    lost.append("how it was built (settings, seeds, versions): only args.json says a little")
    lost.append("snapshot n is after n updates here: in published zoos it is after n + 1")
    return lost


def _write(zoo: Zoo, kind: Kind, folder: Path) -> None:
    headers = zoo.manifest.source.get("headers")
    if not isinstance(headers, dict | None):
        raise ZooError(f"the headers in the manifest of {zoo.path} are no object")
    writers: dict[str, NpyWriter] = {}
    for columns in _chunks(zoo, kept := _kept(zoo)):
        for name, array in kind.arrays(columns, zoo.problem).items():
            if name not in writers:
                header = Header.of(array.dtype, (int(kept.sum()), *array.shape[1:]))
                if headers is not None:
                    known = headers.get(name)
                    header = checked_header(known, header.shape, kind.files[name].dtypes, name)
                writers[name] = NpyWriter(folder / f"{name}.npy", header)
            writers[name].write(array)
    arguments = _arguments(zoo, kind)
    if arguments is not None:
        (folder / ARGUMENTS).write_bytes(arguments.encode())


def _kept(zoo: Zoo) -> Tensor:
    """Say which rows are written, ``(rows,)``: of an imported zoo all."""
    runs = zoo.read("run")
    if zoo.manifest.origin == "official":
        return torch.ones_like(runs, dtype=torch.bool)
    failed = torch.tensor([int(run) for run in zoo.manifest.failed], dtype=runs.dtype)
    return ~torch.isin(runs, failed)


def _chunks(zoo: Zoo, kept: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """Yield the rows to write, some at a time."""
    start = 0
    for shard in zoo.manifest.shards:
        columns = disk_tensors(zoo.path / SHARDS / shard.file)
        rows = kept[start : start + shard.rows].nonzero().squeeze(1)
        start += shard.rows
        for chunk in rows.split(_CHUNK):
            yield {name: column[chunk] for name, column in columns.items()}


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
