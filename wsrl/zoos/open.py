"""Open a zoo, in whichever format a folder holds it."""

from __future__ import annotations

from pathlib import Path

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
    return (open_published if is_published(folder) else open_store)(folder, include_failed)
