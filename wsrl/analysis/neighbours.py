"""Nearest neighbours of embeddings, and what can be read off them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_CHUNK = 256


def nearest(
    points: Array,
    queries: Array,
    count: int,
    groups: Indices | None = None,
    own: Indices | None = None,
) -> tuple[Array, Indices]:
    """Find the points nearest to each query by Euclidean distance.

    Args:
        points: ``(n, D)``.
        queries: ``(m, D)``.
        count: how many a query; all, if there are fewer.
        groups: ``(n,)``, to leave out points with a query: the group of each point.
        own: ``(m,)``, the group that is left out for each query, as the snapshots of its own run.

    Returns:
        Distances, rising, and indices of points, ``(m, count)`` each; where too few points are
        left, the distances are infinite.
    """
    count = min(count, len(points))
    distances, indices = [], []
    for start in range(0, max(len(queries), 1), _CHUNK):
        part = queries[start : start + _CHUNK]
        square = np.square(part).sum(1)[:, None] - 2 * part @ points.T + np.square(points).sum(1)
        if groups is not None and own is not None:
            square[own[start : start + _CHUNK, None] == groups] = np.inf
        chosen = np.argpartition(square, count - 1, 1)[:, :count]
        # Anew, since the difference of large numbers above rounds away what small distances are.
        exact = np.sqrt(np.square(points[chosen] - part[:, None]).sum(2))
        exact[np.isinf(np.take_along_axis(square, chosen, 1))] = np.inf
        order = np.lexsort((chosen, exact), axis=1)
        distances.append(np.take_along_axis(exact, order, 1))
        indices.append(np.take_along_axis(chosen, order, 1))
    return np.concatenate(distances), np.concatenate(indices)


def votes(classes: Indices, count: int) -> Array:
    """Return the share of ``k`` neighbours in each class.

    Args:
        classes: ``(m, k, parts)``, class indices of the neighbours.
        count: how many classes there are.

    Returns:
        ``(m, parts, count)``.
    """
    return np.asarray((classes[..., None] == np.arange(count)).mean(1), np.float64)


def circular_mean(values: Array, period: float) -> Array:
    """Return the mean direction ``(m, parts)`` of numbers on a circle ``(m, k, parts)``.

    In ``[0, period)``.
    """
    turns = np.exp(2j * np.pi * values / period).mean(1)
    return np.asarray((np.angle(turns) / (2 * np.pi) * period) % period, np.float64)
