"""Nearest neighbours of embeddings."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

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
    """Find the points ``(n, D)`` nearest to queries ``(m, D)`` by Euclidean distance.

    Points may be in ``groups (n,)``, of which a query leaves its ``own (m,)`` out, as the snapshots
    of its own run. Equal distances stay in the order of the points.

    Returns:
        Distances, rising, and indices ``(m, count)``; infinite where too few points are left.
    """
    count = min(count, len(points))
    distances, indices = [], []
    for start in range(0, max(len(queries), 1), _CHUNK):
        apart = cdist(queries[start : start + _CHUNK], points)
        if groups is not None and own is not None:
            apart[own[start : start + _CHUNK, None] == groups] = np.inf
        order = np.argsort(apart, 1, kind="stable")[:, :count]
        distances.append(np.take_along_axis(apart, order, 1))
        indices.append(order)
    return np.concatenate(distances), np.concatenate(indices)
