"""JSON that every reader takes: numbers that are not finite become null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(content: Any, indent: int | None = None) -> str:
    """Return plain values as JSON. NaN and infinities, which JSON does not have, become ``null``.

    Args:
        content: dicts, lists, tuples, text, numbers, booleans and ``None``.
        indent: as of ``json.dumps``.

    >>> to_json({"r2": float("nan"), "mae": 0.5})
    '{"r2": null, "mae": 0.5}'
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def numbers(content: Mapping[str, float | None]) -> dict[str, float]:
    """Return numbers that were read from JSON by name; ``null`` becomes NaN.

    >>> numbers({"r2": None, "mae": 0.5})
    {'r2': nan, 'mae': 0.5}
    """
    return {name: math.nan if value is None else value for name, value in content.items()}


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
