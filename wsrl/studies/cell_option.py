"""The option ``--cell`` of commands that read state dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_cell_option(add: Callable[..., Any]) -> None:
    """Add it, with the ``add_argument`` of a parser or of a group."""
    add(
        "--cell",
        metavar="CELL",
        help="tanh, linear, lstm or gru; needed for an nn.RNN, since a state dict does not say "
        "whether it is one with tanh or with ReLU (which is not supported)",
    )
