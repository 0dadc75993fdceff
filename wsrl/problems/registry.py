"""Problems by name: registered by decorator, or by another package's entry point."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from wsrl.plugins import Registry
from wsrl.problems.base import Problem, TrainableProblem

PROBLEMS: Registry[type[Problem]] = Registry(
    "problem", "wsrl.problems", Problem, attrgetter("name")
)
list_problems, get_problem = PROBLEMS.names, PROBLEMS.get
register_problem = PROBLEMS.register


def list_trainable_problems() -> list[str]:
    """Return the names of the problems on which a zoo can be built."""
    return [name for name in list_problems() if issubclass(get_problem(name), TrainableProblem)]


def get_trainable_problem(name: str) -> type[TrainableProblem]:
    """Return the class of a problem on which a zoo can be built; raises ``ValueError``."""
    problem = get_problem(name)
    if not issubclass(problem, TrainableProblem):
        choices = ", ".join(list_trainable_problems())
        raise ValueError(f"zoos of {name!r} are made by `wsrl zoo pack`; to train choose {choices}")
    return problem


def create_problem(name: str, settings: Mapping[str, Any]) -> Problem:
    """Return a problem by name with its settings; ``ValueError``: either is not known or fits."""
    problem = get_problem(name)
    try:
        return problem(**settings)
    except TypeError as error:
        raise ValueError(f"settings of problem {name!r} do not fit: {error}") from error
