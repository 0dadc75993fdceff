"""Cells by name: registered by decorator, or by another package's entry point."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from wsrl.plugins import Registry
from wsrl.rnn.cells.base import Cell

LONGEST_NAME = 200
"""Characters of a cell's name with its options."""

_CellClass = TypeVar("_CellClass", bound=type[Cell])


def _check(cls: Any) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Cell)):
        raise TypeError(f"only subclasses of wsrl.Cell can be registered, not {cls!r}")
    if not cls().name.isidentifier():  # also raises TypeError where a method is missing
        raise TypeError(f"a cell's name is one word of letters and digits, not {cls.name!r}")


CELLS: Registry[type[Cell]] = Registry("cell", "wsrl.cells", lambda cls: str(cls.name), _check)
"""Every cell by its name."""


def register_cell(cls: _CellClass) -> _CellClass:
    """Register a cell under its ``name``; a decorator.

    Raises:
        TypeError: where the class is no ``Cell``, or lacks a method or a default of an option.
        ValueError: where the name is taken.
    """
    return CELLS.register(cls)


def list_cells() -> list[str]:
    """Return the names of all registered cells, other packages' included, in order."""
    return CELLS.names()


def get_cell(name: str) -> Cell:
    """Return a registered cell: ``lstm``, or with its options ``low_rank(rank=2)``.

    >>> get_cell("lstm").state
    ('h', 'c')

    Raises:
        ValueError: for an unknown name or option, or an option of another type.
    """
    word, bracket, _ = name[:LONGEST_NAME].partition("(")
    cls = CELLS.get(word)
    if not bracket:
        return cls()
    options, known = _options(name), {field.name: type(field.default) for field in fields(cls)}
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name}: {word} has no option {option!r}, only {', '.join(known)}")
        if type(value) is not known[option]:
            raise ValueError(f"{name}: {option} is of type {known[option].__name__}, not {value!r}")
    return cls(**options)


@lru_cache
def _options(name: str) -> Mapping[str, Any]:
    """Read the options of ``low_rank(rank=2)``."""
    try:
        call = ast.parse(name[: LONGEST_NAME + 1], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options have names")
        return {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        shown = name[:LONGEST_NAME]
        raise ValueError(f"write a cell's options as in low_rank(rank=2), not {shown!r}") from error
