"""Whether the files of a zoo are there and as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsrl.zoos.files import checksum
from wsrl.zoos.manifest import SHARDS, Shard, ZooError


def check_shards(folder: Path, shards: Sequence[Shard]) -> None:
    """Compare shards with their checksums.

    Raises:
        ZooError: naming the files that are missing or differ.
    """
    path = folder / SHARDS
    lost = [s.file for s in shards if not (path / s.file).is_file()]
    if lost:
        raise ZooError(
            f"the zoo is damaged: missing from {path}: {', '.join(lost)}. {again(folder)}"
        )
    wrong = [s.file for s in shards if not is_whole(folder, s)]
    if wrong:
        raise ZooError(
            f"damaged shards in {path} (checksums differ): {', '.join(wrong)}. {again(folder)}"
        )


def again(folder: Path) -> str:
    """Say how a file of a zoo that is missing or damaged can be had again."""
    return f"Restore it from a copy, or have it made again: wsrl zoo repair {folder}"


def is_whole(folder: Path, shard: Shard) -> bool:
    """Say whether a shard's file is there and as it was written."""
    path = folder / SHARDS / shard.file
    if not path.is_file() or path.stat().st_size != shard.bytes:
        return False
    return checksum(path) == shard.sha256
