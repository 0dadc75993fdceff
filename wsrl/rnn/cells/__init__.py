"""Cells of RNNs, one file each; a cell is known by being registered."""

from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Axis,
    Cell,
    CellTensor,
    LayerState,
    Symmetry,
    Tensors,
    TorchForm,
    project,
)
from wsrl.rnn.cells.gru import GRU
from wsrl.rnn.cells.linear import Linear
from wsrl.rnn.cells.lstm import LSTM
from wsrl.rnn.cells.matrix import Elman, MatrixCell
from wsrl.rnn.cells.registry import get_cell, list_cells, register_cell
from wsrl.rnn.cells.relu import ReLU
from wsrl.rnn.cells.tanh import Tanh

__all__ = [
    "BELOW",
    "GRU",
    "HIDDEN",
    "LSTM",
    "Axis",
    "Cell",
    "CellTensor",
    "Elman",
    "LayerState",
    "Linear",
    "MatrixCell",
    "ReLU",
    "Symmetry",
    "Tanh",
    "Tensors",
    "TorchForm",
    "get_cell",
    "list_cells",
    "project",
    "register_cell",
]
