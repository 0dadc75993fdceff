"""Families of functions, of any size, that show what interaction is worth.

Each is a table ``(functions, queries)`` for ``interactive`` and ``noninteractive``. With ``|D|``
functions nobody needs more than ``|D| - 1`` queries, since each can be chosen to rule out one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def point_functions(functions: int) -> NDArray[np.int8]:
    """Return the family that needs ``|D| - 1`` queries, interactively or not.

    Function 0 answers 0 to all of the ``|D| - 1`` queries, function ``i`` answers 1 to query
    ``i - 1`` alone. Only that query tells it apart from function 0: all are needed in advance. And
    while the answers are 0, each query rules out one function only.

    Fewest queries: interactive ``functions - 1``, non-interactive ``functions - 1``.

    >>> point_functions(3).tolist()
    [[0, 0], [1, 0], [0, 1]]
    """
    _at_least("functions", functions, 2)
    return np.eye(functions, functions - 1, -1, dtype=np.int8)


def path_functions(depth: int) -> NDArray[np.int8]:
    """Return the family with an exponential gap: each answer says where to look next.

    A function is a leaf of the full binary tree of that depth, a query is an inner node: the answer
    is 1 if the leaf lies below its right child, else 0 (also where the leaf is not below it). Who
    may choose begins at the root and goes where the answer points. Who may not needs every node:
    of its two children take the leftmost leaves below each; below both all answers are 0, so that
    the node alone tells them apart.

    Fewest queries: interactive ``depth`` (which is ``log2 |D|``, the least for answers of two
    kinds), non-interactive ``2**depth - 1`` (which is ``|D| - 1``, the most): no gap is larger.

    The nodes are ordered level by level from the root.

    >>> path_functions(2).tolist()
    [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1]]
    """
    _at_least("depth", depth, 1)
    leaves = np.arange(2**depth)[:, None]
    columns = []
    for level in range(depth):
        node = leaves >> (depth - level)  # on the path from the root
        turn = (leaves >> (depth - level - 1)) & 1
        columns.append((node == np.arange(2**level)) & (turn == 1))
    return np.concatenate(columns, 1).astype(np.int8)


def all_functions(queries: int, answers: int = 2) -> NDArray[np.int64]:
    """Return the family without a gap: all functions from so many queries to so many answers.

    Whatever is known of some queries says nothing of another one, so that all must be asked.

    Fewest queries: interactive ``queries``, non-interactive ``queries`` (``log |D|`` to the base
    ``answers``; less than ``|D| - 1``, but for a single query with two answers).

    >>> all_functions(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    _at_least("queries", queries, 1)
    _at_least("answers", answers, 2)
    digits = answers ** np.arange(queries - 1, -1, -1)
    return np.arange(answers**queries)[:, None] // digits % answers


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
