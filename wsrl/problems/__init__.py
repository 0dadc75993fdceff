"""The problems of zoos: what their RNNs were trained on, one file each."""

from wsrl.plugins import import_modules
from wsrl.problems.base import (
    Batch,
    InputKind,
    Problem,
    Runner,
    TrainableProblem,
    TrainingStream,
)
from wsrl.problems.columns import Column, Target
from wsrl.problems.formal_languages import FormalLanguages
from wsrl.problems.packed import PackedRNNs
from wsrl.problems.registry import (
    create_problem,
    get_problem,
    get_trainable_problem,
    list_problems,
    list_trainable_problems,
    register_problem,
)
from wsrl.problems.tiled_images import TiledImages
from wsrl.problems.variable_binding import VariableBinding

__all__ = [
    "Batch",
    "Column",
    "FormalLanguages",
    "InputKind",
    "PackedRNNs",
    "Problem",
    "Runner",
    "Target",
    "TiledImages",
    "TrainableProblem",
    "TrainingStream",
    "VariableBinding",
    "create_problem",
    "get_problem",
    "get_trainable_problem",
    "list_problems",
    "list_trainable_problems",
    "register_problem",
]

import_modules(__name__, __path__)
