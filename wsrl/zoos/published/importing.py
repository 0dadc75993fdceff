"""Import a published zoo into our own format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.progress import Progress
from torch import Tensor

from wsrl.zoos.files import checksum
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.published.hints import PublishedHints
from wsrl.zoos.published.reading import read_publication
from wsrl.zoos.writer import write_zoo


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
    published = read_publication(Path(path), hints or PublishedHints())
    published.check()
    rows = len(published)
    sums = {f"sha256 of {name}": checksum(file.path) for name, file in published.files.items()}
    source = published.manifest.source | {"rows_per_shard": rows_per_shard} | sums
    manifest = replace(published.manifest, source=source, complete=False)
    with Progress(disable=quiet) as progress:
        bar = progress.add_task("snapshots", total=rows)

        def columns(index: int) -> dict[str, Tensor]:
            start = index * rows_per_shard
            progress.update(bar, completed=start)
            return published.columns(start, start + rows_per_shard)

        try:
            found = write_zoo(out, manifest, -(-rows // rows_per_shard), columns)
        except OSError as error:
            raise ZooError(
                f"the import of {path} stopped, {out} is unfinished ({error}): see to it (a full "
                "disk?) and run the same command again to go on"
            ) from error
        progress.update(bar, completed=rows)
    return found
