"""Problems by name: registered by decorator, or by another package's entry point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from wsrl.plugins import load_plugins
from wsrl.problems.base import Problem, TrainableProblem
from wsrl.validation import check_arguments

ENTRY_POINTS = "wsrl.problems"
"""The entry point group in which packages announce problems."""

_ProblemClass = TypeVar("_ProblemClass", bound=type[Problem])
_registered: dict[str, type[Problem]] = {}


def register_problem(cls: _ProblemClass) -> _ProblemClass:
    """Make a problem known by its ``name``; use as a decorator.

    Raises:
        TypeError: where the class is no ``Problem``, or has no name.
        ValueError: when the name is taken.
    """
    if not (isinstance(cls, type) and issubclass(cls, Problem)):
        raise TypeError(f"only subclasses of Problem can be registered, not {cls!r}")
    if not isinstance(getattr(cls, "name", None), str):
        raise TypeError(f"{_path(cls)} needs a class attribute `name`")
    if cls.name in _registered:
        raise ValueError(
            f"a problem named {cls.name!r} is registered already ({_path(_registered[cls.name])}); "
            f"give {_path(cls)} another name"
        )
    _registered[cls.name] = cls
    return cls


def list_problems() -> list[str]:
    """Return the names of all problems, other packages' included."""
    _load_entry_points()
    return sorted(_registered)


def list_trainable_problems() -> list[str]:
    """Return the names of the problems on which a zoo can be built."""
    return [name for name in list_problems() if issubclass(_registered[name], TrainableProblem)]


def get_problem(name: str) -> type[Problem]:
    """Return a problem's class.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in _registered:
        _load_entry_points()
    if name not in _registered:
        raise ValueError(f"unknown problem {name!r}; choose one of {', '.join(list_problems())}")
    return _registered[name]


def get_trainable_problem(name: str) -> type[TrainableProblem]:
    """Return the class of a problem on which a zoo can be built.

    Raises:
        ValueError: for an unknown name, or a problem that RNNs from elsewhere have.
    """
    problem = get_problem(name)
    if not issubclass(problem, TrainableProblem):
        raise ValueError(
            f"nothing can be trained on the problem {name!r}: it describes RNNs that were trained "
            "elsewhere, which `wsrl zoo pack` makes a zoo of. To train a zoo choose one of "
            f"{', '.join(list_trainable_problems())}"
        )
    return problem


def create_problem(name: str, settings: Mapping[str, Any]) -> Problem:
    """Return a problem by name with its settings.

    Raises:
        ValueError: for an unknown name, or settings that the problem does not have or that are of
            another kind.
    """
    problem = get_problem(name)
    try:
        check_arguments(problem, settings)
        return problem(**settings)
    except TypeError as error:
        raise ValueError(f"settings of problem {name!r} do not fit: {error}") from error


@cache
def _load_entry_points() -> None:
    """Import the problems of other packages, once; the import may register them itself."""
    load_plugins(
        ENTRY_POINTS, lambda cls: None if cls in _registered.values() else register_problem(cls)
    )


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
