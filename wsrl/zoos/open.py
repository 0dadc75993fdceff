"""Open a zoo, in whichever format a folder holds it."""

from __future__ import annotations

from pathlib import Path

from wsrl.zoos.store import Zoo, open_store


def open_zoo(path: str | Path, include_failed: bool = False) -> Zoo:
    """Open a finished zoo.

    Args:
        path: its folder.
        include_failed: keep the snapshots of runs that failed in training.

    Raises:
        ZooError: for a folder that holds no finished, readable zoo.
    """
    return open_store(Path(path), include_failed)
