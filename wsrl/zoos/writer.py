"""Write a zoo that comes from elsewhere, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from wsrl.stopping import StopRequests
from wsrl.zoos.assembly import complete, missing_shards, write_finished
from wsrl.zoos.folder import locked_zoo, open_or_create
from wsrl.zoos.manifest import Manifest


def write_zoo(
    out: str | Path,
    manifest: Manifest,
    shards: int,
    columns: Callable[[int], Mapping[str, Tensor]],
) -> Manifest:
    """Write a zoo, or go on with one whose writing was interrupted.

    A zoo is unfinished until its last shard is there, and is recognised as such.

    Args:
        out: the zoo's folder; new, empty, or holding the same zoo.
        manifest: what it will hold; without shards.
        shards: how many there will be.
        columns: returns the columns of shard ``n``, ``(rows, *shape)`` each.

    Returns:
        The manifest of the finished zoo.

    Raises:
        ZooError: where the folder holds something else, another process works on it, or a file of
            the zoo is damaged.
    """
    folder = Path(out)
    open_or_create(folder, manifest)
    with StopRequests() as stop, locked_zoo(folder):
        for index in missing_shards(folder, shards):
            stop.raise_if_any()
            write_finished(folder, index, columns(index))
        return complete(folder, shards)
