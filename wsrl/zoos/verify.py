"""Check a zoo against itself: checksums, labels, and outputs recomputed from weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from wsrl.validation import check_size
from wsrl.zoos.manifest import SHARDS, ZooError
from wsrl.zoos.open import open_one, open_zoo
from wsrl.zoos.soundness import check_labels, output_error, tolerance
from wsrl.zoos.store import Zoo

_CHUNK = 64  # snapshots recomputed at once


class Report(NamedTuple):
    """What was verified: snapshots, sequences of each, the largest output error, what may be."""

    snapshots: int
    sequences: int
    largest_error: float
    tolerance: str


def verify_zoo(path: str | Path | Sequence[str | Path], sequences: int | None = None) -> Report:
    """Verify a finished zoo, or every one of several, and that these are of one problem.

    Args:
        path: the folder of a zoo or of zoos, or several.
        sequences: recompute the outputs on so many stored sequences of every snapshot; all by
            default.

    Raises:
        ZooError: naming what is wrong.
    """
    found = open_zoo(path)
    reports = [_verify(zoo, sequences) for zoo in found.zoos]
    tolerances = dict.fromkeys(report.tolerance for report in reports)
    return Report(
        sum(report.snapshots for report in reports),
        min(report.sequences for report in reports),
        max(report.largest_error for report in reports),
        "; ".join(tolerances),
    )


def _verify(zoo: Zoo, sequences: int | None) -> Report:
    zoo.check()
    if len(zoo) == 0:
        raise ZooError(f"the zoo at {zoo.path} holds no sound run: all failed in training")
    known = {shard.file for shard in zoo.manifest.shards}  # none of a published zoo
    if known and (extra := {file.name for file in (zoo.path / SHARDS).iterdir()} - known):
        names = ", ".join(sorted(extra))
        raise ZooError(f"files in {zoo.path / SHARDS} that no manifest lists: {names}")
    _check_labels(open_one(zoo.path, include_failed=True))
    stored = zoo.sequences_stored
    count = stored if sequences is None else min(sequences, stored)
    check_size("sequences", count, 1, stored)
    parts = torch.arange(len(zoo)).split(_CHUNK)
    largest = max(output_error(zoo, rows, count) for rows in parts)
    return Report(len(zoo), count, largest, tolerance(zoo))


def _check_labels(zoo: Zoo) -> None:
    columns = {name: zoo.read(name) for name in ("run", "step", "task")}
    if zoo.manifest.origin == "built":
        count, steps = zoo.manifest.build["runs"], torch.tensor(zoo.steps)
        pairs = torch.stack([columns["run"], columns["step"]], 1)
        if not torch.equal(pairs, torch.cartesian_prod(torch.arange(count), steps).view(-1, 2)):
            raise ZooError(f"{zoo.path} does not hold {count} runs x {len(steps)} snapshots")
    check_labels(zoo.path, columns)
    for name, target in zoo.targets.items():
        try:
            target.of({target.column: zoo.read(target.column)})
        except ValueError as error:
            raise ZooError(f"the zoo at {zoo.path}, target {name}: {error}") from error
