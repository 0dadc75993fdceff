"""Fixed points, slow points, line attractors, limit cycles and what connects them, of many RNNs."""

from wsrl.analysis.dynamics.cycles import Cycle
from wsrl.analysis.dynamics.lines import Line
from wsrl.analysis.dynamics.portrait import Connection, Portrait
from wsrl.analysis.dynamics.searching import find_portraits
from wsrl.analysis.dynamics.settings import DynamicsSettings

__all__ = ["Connection", "Cycle", "DynamicsSettings", "Line", "Portrait", "find_portraits"]
