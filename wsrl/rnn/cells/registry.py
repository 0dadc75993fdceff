"""Cells by name: registered by decorator, or by another package's entry point."""

from __future__ import annotations

import ast
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from wsrl.plugins import load_plugins
from wsrl.rnn.cells.base import Cell

ENTRY_POINTS = "wsrl.cells"
"""The entry point group in which packages announce cells."""

LONGEST_NAME = 200
"""Characters of a cell's name with its options."""

_CellClass = TypeVar("_CellClass", bound=type[Cell])
_registered: dict[str, type[Cell]] = {}


def register_cell(cls: _CellClass) -> _CellClass:
    """Register a cell under its ``name``; a decorator.

    Raises:
        TypeError: where the class is no ``Cell``, or lacks a method or a default of an option.
        ValueError: where the name is no identifier, or is taken.
    """
    if not (isinstance(cls, type) and issubclass(cls, Cell)):
        raise TypeError(f"only subclasses of wsrl.rnn.Cell can be registered, not {cls!r}")
    cls()
    if not cls.name.isidentifier():
        raise ValueError(f"a cell's name is one word of letters and digits, not {cls.name!r}")
    if cls.name in _registered:
        raise ValueError(f"a cell named {cls.name} is registered already: {_registered[cls.name]}")
    _registered[cls.name] = cls
    return cls


def list_cells() -> list[str]:
    """Return the names of all registered cells, other packages' included, in order."""
    _load_entry_points()
    return sorted(_registered)


@cache
def get_cell(name: str) -> Cell:
    """Return a registered cell, such as ``lstm``, or ``low_rank(rank=2)`` with its options.

    Raises:
        ValueError: for an unknown name or option, or an option of another type.
    """
    word, _, rest = name[:LONGEST_NAME].partition("(")
    if word not in _registered:
        _load_entry_points()
    if word not in _registered or len(name) > LONGEST_NAME:
        choices = ", ".join(list_cells())
        raise ValueError(f"unknown cell {name[:LONGEST_NAME]!r}; choose one of {choices}")
    cls = _registered[word]
    options = _options(name) if rest else {}
    known = {field.name: type(field.default) for field in fields(cls)}
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name}: {word} has no option {option!r}, only {', '.join(known)}")
        if type(value) is not known[option]:
            raise ValueError(f"{name}: {option} is of type {known[option].__name__}, not {value!r}")
    return cls(**options)


def _options(name: str) -> dict[str, Any]:
    try:
        call = ast.parse(name, mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no call")
        return {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"a cell's options are written as in low_rank(rank=2): {name!r}"
        ) from error


@cache
def _load_entry_points() -> None:
    """Import the cells of other packages, once; the import may register them itself."""
    load_plugins(
        ENTRY_POINTS, lambda cls: None if cls in _registered.values() else register_cell(cls)
    )
