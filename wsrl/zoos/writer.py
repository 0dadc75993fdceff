"""Write a zoo that comes from elsewhere, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from wsrl.zoos.folder import locked, open_or_create
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.store import check_shards, write_shard


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
        ZooError: where the folder holds something else, or another process writes into it.
    """
    folder = Path(out)
    found = open_or_create(folder, manifest)
    check_shards(folder, found)
    if found.complete:
        return found
    with locked(folder):
        found = Manifest.read(folder)  # another process may have gone on before the lock
        for index in range(len(found.shards), shards):
            found.shards.append(write_shard(folder, index, columns(index)))
            found.write(folder)
        found.complete = True
        found.write(folder)
    return found
