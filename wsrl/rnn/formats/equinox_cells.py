"""Equinox: leaves of ``LSTMCell``, ``GRUCell`` and ``Linear`` in a row, without names.

What the leaves are, their shapes say: a cell is a matrix of 4H or 3H rows, another one (., H), and
maybe its biases. Of linear layers, one can stand before the cells; where sizes allow both, the user
says which is the readout.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.parts import Affine
from wsrl.rnn.formats.placement import NAMES, placements

_CELLS = {4: "LSTMCell", 3: "GRUCell"}


def _find(content: Content, said: Said) -> list[Candidate] | str:
    leaves, at = list(content.tensors.values()), 0
    cells: list[tuple[int, dict[str, Tensor]]] = []
    linear: dict[str, Affine] = {}
    while at < len(leaves):
        gates = _gates(leaves, at)
        if gates:
            cell, used = _cell(leaves, at, gates)
            cells.append((gates, cell))
        elif leaves[at].ndim == 2:
            bias = _vector(leaves, at + 1, leaves[at].shape[0])
            linear[f"leaf {at}"] = leaves[at], bias
            used = 1 + (bias is not None)
        else:
            raise ValueError(f"leaf {at}, {tuple(leaves[at].shape)}, begins no cell and no Linear")
        at += used
    if len({gates for gates, _ in cells}) != 1:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves[:12])
        raise ValueError(
            "expected the leaves of LSTMCells, (4H, I), (4H, H) and biases, or of GRUCells, with "
            f"3H, and of Linears; there are {shapes}"
        )
    layers, kind = [cell for _, cell in cells], cells[0][0]
    name = _CELLS[kind]
    inputs, outputs = layers[0]["weight_ih"].shape[1], layers[-1]["weight_hh"].shape[1]
    word, notes = name.removesuffix("Cell").lower(), (f"leaves of {name}, by their shapes",)
    places = placements(linear, inputs, outputs)
    return [place.candidate(word, layers, notes) for place in places]


def _gates(leaves: Sequence[Tensor], at: int) -> int:
    """Return how many gates the cell has whose leaves begin here; 0 where none does."""
    if at + 1 >= len(leaves) or leaves[at].ndim != 2 or leaves[at + 1].ndim != 2:
        return 0
    rows, hidden = leaves[at + 1].shape
    fits = rows == leaves[at].shape[0] and hidden > 0
    return next((gates for gates in _CELLS if fits and rows == gates * hidden), 0)


def _cell(leaves: Sequence[Tensor], at: int, gates: int) -> tuple[dict[str, Tensor], int]:
    """Return the tensors of a cell, and how many leaves they are."""
    hidden = leaves[at + 1].shape[1]
    cell = {"weight_ih": leaves[at], "weight_hh": leaves[at + 1]}
    bias = _vector(leaves, at + 2, gates * hidden)
    if bias is None:
        return cell, 2
    own = _vector(leaves, at + 3, hidden) if gates == 3 else None
    if own is None:
        return cell | {"bias_ih": bias}, 3
    return cell | {"bias_ih": bias, "bias_hh": torch.cat([own.new_zeros(2 * hidden), own])}, 4


def _vector(leaves: Sequence[Tensor], at: int, size: int) -> Tensor | None:
    return leaves[at] if at < len(leaves) and leaves[at].shape == (size,) else None


EQUINOX_CELLS = Recogniser(
    "Equinox",
    frozenset({"equinox"}),
    NAMES,
    _find,
)
