"""Families of functions, of any size, that show what interaction is worth.

Each is a table ``(functions, queries)`` for ``interactive`` and ``noninteractive``. With ``|D|``
functions nobody needs more than ``|D| - 1`` queries, since each can be chosen to rule out one.
"""

import numpy as np
from numpy.typing import NDArray


def point_functions(functions: int) -> NDArray[np.int8]:
    """Return the family that needs ``|D| - 1`` queries, interactively or not.

    Function 0 answers 0 to all queries, function ``i`` answers 1 to query ``i - 1`` alone, which
    alone tells it apart from function 0. While the answers are 0, a query rules out one function.

    >>> point_functions(3).tolist()
    [[0, 0], [1, 0], [0, 1]]
    """
    _at_least("functions", functions, 2)
    return np.eye(functions, functions - 1, -1, dtype=np.int8)


def path_functions(depth: int) -> NDArray[np.int8]:
    """Return the family with an exponential gap: each answer says where to look next.

    A function is a leaf of the full binary tree of that depth, a query is an inner node: the answer
    is 1 if the leaf lies below its right child, else 0 (also where the leaf is not below it). Who
    may choose goes from the root where the answer points: ``depth`` queries, the least for answers
    of two kinds. Who may not needs every node, ``2**depth - 1`` or ``|D| - 1``: below its two
    children all answers of the leftmost leaves are 0 but its own.

    >>> path_functions(2).tolist()  # nodes level by level
    [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1]]
    """
    _at_least("depth", depth, 1)
    leaves = np.arange(2**depth)[:, None]
    columns = []
    for level in range(depth):
        on_path = (leaves >> (depth - level)) == np.arange(2**level)
        columns.append(on_path & ((leaves >> (depth - level - 1)) % 2 == 1))
    return np.concatenate(columns, 1).astype(np.int8)


def all_functions(queries: int, answers: int = 2) -> NDArray[np.int64]:
    """Return the family without a gap: all functions from so many queries to so many answers.

    Whatever is known of some queries says nothing of another one: all must be asked either way.

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
