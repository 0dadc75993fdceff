"""The problems that zoos are trained on, one file each."""

from wsrl.zoos.problems.base import Batch, Column, Problem, Runner, Target, TrainingStream
from wsrl.zoos.problems.formal_languages import FormalLanguages
from wsrl.zoos.problems.registry import (
    create_problem,
    get_problem,
    list_problems,
    register_problem,
)

__all__ = [
    "Batch",
    "Column",
    "FormalLanguages",
    "Problem",
    "Runner",
    "Target",
    "TrainingStream",
    "create_problem",
    "get_problem",
    "list_problems",
    "register_problem",
]
