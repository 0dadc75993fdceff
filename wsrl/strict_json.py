"""JSON that every reader takes alike: no NaN is written, no name is read twice in one object."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsrl.safe_files import read_regular
from wsrl.validation import short

LARGEST_JSON = 1 << 28
"""Bytes of a JSON file that is read: a manifest has some 200 for a shard, 40 for a packed RNN."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a regular file, or raise ``OSError`` or ``ValueError``."""
    return parse_json(read_regular(path, LARGEST_JSON))


def parse_json(content: bytes) -> dict[str, Any]:
    """Read a JSON object, as ``read_json`` does."""
    try:
        found = json.loads(content.decode(), object_pairs_hook=_unlike)
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, not {short(found)}")
    return found


def to_json(content: Any, indent: int | None = None) -> str:
    """Return plain values as JSON. NaN and infinities, which JSON does not have, become ``null``.

    >>> to_json({"r2": float("nan"), "mae": 0.5})
    '{"r2": null, "mae": 0.5}'
    """
    return json.dumps(finite(content), indent=indent, allow_nan=False)


def numbers(content: Mapping[str, float | None]) -> dict[str, float]:
    """Return numbers that were read from JSON by name; ``null`` becomes NaN."""
    return {name: math.nan if value is None else value for name, value in content.items()}


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice: readers differ in which of its values they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a name twice in one object")
    return found


def finite(content: Any) -> Any:
    """Return plain values with ``None`` for NaN and infinities, and lists for tuples."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
