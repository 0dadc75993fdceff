"""The files of a zoo's shards: written, and whether they are there, its own, and whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from wsrl.zoos.files import checksum
from wsrl.zoos.manifest import SHARDS, Shard, ZooError
from wsrl.zoos.records import shard_name
from wsrl.zoos.tensors import write_tensors


def write_shard(folder: Path, index: int, columns: Mapping[str, Tensor]) -> Shard:
    """Write the snapshots of one group and return its entry for the manifest."""
    path = folder / SHARDS / shard_name(index)
    write_tensors(path, columns, {"group": index})
    rows = len(columns["weights"])
    return Shard(path.name, rows, path.stat().st_size, checksum(path))


def shard_file(folder: Path, shard: Shard) -> Path:
    """Return the path of a shard that is there.

    Raises:
        ZooError: where it is missing, or a link leads out of the zoo's folder.
    """
    path = folder / SHARDS / shard.file
    if not path.is_file():
        raise ZooError(f"the zoo is damaged: shard {path} is missing. {again(folder)}")
    linked = path.is_symlink() or path.parent.is_symlink()
    if linked and not path.resolve().is_relative_to(folder.resolve()):
        raise ZooError(
            f"shard {path} is a link that leads out of the zoo's folder: put the file itself there"
        )
    return path


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


def is_whole(folder: Path, shard: Shard) -> bool:
    """Say whether a shard's file is there and as it was written."""
    path = folder / SHARDS / shard.file
    if not path.is_file() or path.stat().st_size != shard.bytes:
        return False
    return checksum(path) == shard.sha256


def again(folder: Path) -> str:
    """Say how a file of a zoo that is missing or damaged can be had again."""
    return f"Restore it from a copy, or have it made again: wsrl zoo repair {folder}"
