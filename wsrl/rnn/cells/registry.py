"""Cells by name: registered by decorator, or by another package's entry point."""

import ast
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from wsrl.plugins import Registry
from wsrl.rnn.cells.base import Cell

_Cell = TypeVar("_Cell", bound=Cell)

LONGEST_NAME = 200  # characters, options included


def _name(cls: type[Cell]) -> str:
    name = cls().name  # raises TypeError where a method or a default of an option is missing
    if not name.isidentifier():
        raise TypeError(f"a cell's name is one word of letters and digits, not {name!r}")
    return name


CELLS: Registry[type[Cell]] = Registry("cell", "wsrl.cells", Cell, _name)
"""Every cell by its name."""


def register_cell(cls: type[_Cell]) -> type[_Cell]:
    """Register a cell under its ``name``; a decorator. Raises as ``Registry.register``.

    >>> "lstm" in list_cells()
    True
    """
    return CELLS.register(cls)


list_cells = CELLS.names
"""Return the names of all registered cells, other packages' included, in order."""


def get_cell(name: str) -> Cell:
    """Return a registered cell: ``lstm``, or with its options ``low_rank(rank=2)``.

    >>> get_cell("lstm").state
    ('h', 'c')
    """
    word, bracket, _ = name[:LONGEST_NAME].partition("(")
    cls = CELLS.get(word)
    if not bracket:
        return cls()
    options = dict(_options(name))
    known = {field.name: type(field.default) for field in fields(cls)}
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name}: {word} has no option {option!r}, only {', '.join(known)}")
        if known[option] is float and type(value) is int:
            options[option] = float(value)
        elif type(value) is not known[option]:
            raise ValueError(f"{name}: {option} is of type {known[option].__name__}, not {value!r}")
    return cls(**options)


@lru_cache
def _options(name: str) -> Mapping[str, Any]:
    try:
        call = ast.parse(name[: LONGEST_NAME + 1], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options have names")
        return {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        wrong = f"write a cell's options as in low_rank(rank=2), not {name[:LONGEST_NAME]!r}"
        raise ValueError(wrong) from error
