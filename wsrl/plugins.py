"""Classes that other packages announce by entry point."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any


def load_plugins(group: str, register: Callable[[Any], object]) -> None:
    """Load what other packages announce.

    What does not load is a warning that names it, and harms nothing else.

    Args:
        group: of the entry points.
        register: takes every class found.
    """
    for point in entry_points(group=group):
        try:
            register(point.load())
        except Exception as error:  # another package's code may raise anything
            warnings.warn(
                f"{point.name!r}, announced as {point.value!r} under {group}, does not load "
                f"({type(error).__name__}: {error}); mend or uninstall the package it is from",
                stacklevel=2,
            )
