"""Import a published zoo into our own format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor

from wsrl.zoos.assembly import write_zoo
from wsrl.zoos.files import checksum
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.published.reading import PublishedHints, open_published


def import_published(
    path: str | Path,
    out: str | Path,
    hints: PublishedHints | None = None,
    rows_per_shard: int = 256,
    quiet: bool = False,
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

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: for files that are missing, damaged or do not fit one another; where the stored
            outputs do not follow from the weights; where ``out`` holds something else; and where
            writing fails, as on a full disk.
        ValueError: for ``rows_per_shard`` below 1.
    """
    if rows_per_shard < 1:
        raise ValueError(f"rows_per_shard must be at least 1, not {rows_per_shard}")
    zoo = open_published(path, include_failed=True, hints=hints)
    zoo.check()
    names = zoo.manifest.source["headers"]
    sums = {f"sha256 of {name}": checksum(zoo.path / f"{name}.npy") for name in names}
    source = zoo.manifest.source | {"rows_per_shard": rows_per_shard} | sums
    shards = torch.arange(len(zoo)).split(rows_per_shard)
    with Progress(disable=quiet) as progress:
        bar = progress.add_task("shards", total=len(shards))

        def columns(index: int) -> dict[str, Tensor]:
            progress.update(bar, completed=index)
            return {name: zoo.read(name, shards[index]) for name in zoo.columns}

        try:
            found = write_zoo(out, replace(zoo.manifest, source=source), len(shards), columns)
        except OSError as error:
            raise ZooError(
                f"the import of {path} stopped, {out} is unfinished ({error}): see to it (a full "
                "disk?) and run the same command again to go on"
            ) from error
        progress.update(bar, completed=len(shards))
    return found
