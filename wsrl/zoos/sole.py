"""What a killed process left is removed."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_unfinished(path: Path) -> None:
    """Remove a file or a folder that a killed process left; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
