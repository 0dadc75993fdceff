"""Interrogation: the fewest queries that identify an unknown function of a known set."""

from wsrl.analysis.interrogation.families import all_functions, path_functions, point_functions
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
    "Node",
    "Noninteractive",
    "Strategy",
    "all_functions",
    "interactive",
    "noninteractive",
    "path_functions",
    "point_functions",
]
