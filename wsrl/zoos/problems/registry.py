"""Problems by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from wsrl.zoos.problems.base import Problem

_PROBLEMS: dict[str, type[Problem]] = {}

P = TypeVar("P", bound=type[Problem])


def register_problem(problem: P) -> P:
    """Make a problem known by its ``name``; use as a decorator.

    Raises:
        ValueError: when the name is taken.
    """
    if problem.name in _PROBLEMS:
        raise ValueError(f"a problem named {problem.name!r} is registered already")
    _PROBLEMS[problem.name] = problem
    return problem


def list_problems() -> list[str]:
    """Return the names of all problems."""
    return sorted(_PROBLEMS)


def get_problem(name: str) -> type[Problem]:
    """Return a problem's class.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in _PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose one of {', '.join(list_problems())}")
    return _PROBLEMS[name]


def create_problem(name: str, settings: Mapping[str, Any]) -> Problem:
    """Return a problem by name with its settings.

    Raises:
        ValueError: for an unknown name or settings that the problem does not have.
    """
    problem = get_problem(name)
    try:
        return problem(**settings)
    except TypeError as error:
        raise ValueError(f"settings of problem {name!r} do not fit: {error}") from error
