"""Files as other people store their RNNs, with outputs of the code that made them.

They stand in the folder ``foreign`` of ``WSRL_DATA``; tests that need them are skipped without it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("WSRL_DATA", "/nowhere")) / "foreign"


def sample(name: str) -> Path:
    """Return the folder of a sample, or skip the test."""
    if not (FOLDER / name).is_dir():
        pytest.skip(f"no sample {name} in {FOLDER} (WSRL_DATA)")
    return FOLDER / name


def about(folder: Path) -> dict[str, Any]:
    """Return what is known of a sample."""
    found: dict[str, Any] = json.loads((folder / "about.json").read_text())
    return found
