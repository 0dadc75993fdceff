"""The option ``--cell`` of commands that read state dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_cell_option(add: Callable[..., Any]) -> None:
    """Add it, with the ``add_argument`` of a parser or of a group."""
    add(
        "--cell",
        metavar="CELL",
        help="the cell, such as lstm, gru, tanh or linear; needed where several cells have the "
        "same tensors: the state dict of an nn.RNN does not say which nonlinearity it has",
    )
