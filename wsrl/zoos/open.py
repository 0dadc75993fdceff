"""Open a zoo, in whichever format a folder holds it."""

from __future__ import annotations

from pathlib import Path

from wsrl.zoos.manifest import BACKUP, MANIFEST, ZooError
from wsrl.zoos.published.reading import is_published, open_published
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
    if is_published(folder):
        return open_published(folder, include_failed)
    if folder.is_dir() and not (folder / MANIFEST).exists() and not (folder / BACKUP).exists():
        raise ZooError(
            f"no zoo at {folder}: it holds no {MANIFEST}, and no .npy files of a published zoo"
        )
    return open_store(folder, include_failed)
