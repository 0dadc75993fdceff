"""Cells of RNNs, one file each; a cell is known by being registered."""

from wsrl.plugins import import_modules
from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Axis,
    Cell,
    CellTensor,
    Driven,
    LayerState,
    NeuronFactors,
    Symmetry,
    Tensors,
    TorchForm,
    project,
)
from wsrl.rnn.cells.matrix import Elman, MatrixCell
from wsrl.rnn.cells.registry import get_cell, list_cells, register_cell

__all__ = [
    "BELOW",
    "HIDDEN",
    "Axis",
    "Cell",
    "CellTensor",
    "Driven",
    "Elman",
    "LayerState",
    "MatrixCell",
    "NeuronFactors",
    "Symmetry",
    "Tensors",
    "TorchForm",
    "get_cell",
    "list_cells",
    "project",
    "register_cell",
]

import_modules(__name__, __path__)
