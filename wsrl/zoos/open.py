"""Open a zoo, in whichever format a folder holds it."""

from __future__ import annotations

from pathlib import Path

from wsrl.zoos.manifest import BACKUP, MANIFEST, ZooError
from wsrl.zoos.official import is_official, open_official
from wsrl.zoos.store import Zoo, open_store


def open_zoo(path: str | Path, include_failed: bool = False) -> Zoo:
    """Open a finished zoo.

    Args:
        path: its folder: one of ours, or one of published ``.npy`` files.
        include_failed: keep the snapshots of runs that failed in training.

    Raises:
        ZooError: for a folder that holds no finished, readable zoo.
    """
    folder = Path(path)
    if is_official(folder):
        return open_official(folder, include_failed)
    if folder.is_dir() and not (folder / MANIFEST).exists() and not (folder / BACKUP).exists():
        raise ZooError(
            f"no zoo at {folder}: it holds no {MANIFEST}, and no .npy files of a published zoo"
        )
    return open_store(folder, include_failed)
