"""Interrogation: the fewest queries that identify an unknown function of a known set."""

from wsrl.analysis.interrogation.families import all_functions, path_functions, point_functions
from wsrl.analysis.interrogation.rnns import Interrogation, answer_distances, tell_apart
from wsrl.analysis.interrogation.search import (
    Interactive,
    Noninteractive,
    interactive,
    noninteractive,
)
from wsrl.analysis.interrogation.strategy import Branch, Node, Strategy

__all__ = [
    "Branch",
    "Interactive",
    "Interrogation",
    "Node",
    "Noninteractive",
    "Strategy",
    "all_functions",
    "answer_distances",
    "interactive",
    "noninteractive",
    "path_functions",
    "point_functions",
    "tell_apart",
]
