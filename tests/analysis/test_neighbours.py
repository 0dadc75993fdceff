"""Nearest neighbours against scikit-learn, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from wsrl.analysis.neighbours import nearest


def test_neighbours_are_the_nearest() -> None:
    draws = np.random.default_rng(0)
    points, queries = draws.normal(size=(300, 5)), draws.normal(size=(520, 5))
    distances, indices = nearest(points, queries, 7)
    truth = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(points).kneighbors(queries)
    np.testing.assert_allclose(distances, truth[0], rtol=1e-9)
    assert np.array_equal(indices, truth[1])


def test_small_distances_are_exact() -> None:
    points = np.array([[1.0, 0.0], [1.0, 1e-9], [0.0, 1.0]])
    distances, indices = nearest(points, np.array([[1.0, 0.0]]), 5)
    assert indices.tolist() == [[0, 1, 2]]
    assert nearest(points, points[:0], 2)[0].shape == (0, 2)
    assert distances[0].tolist() == pytest.approx([0.0, 1e-9, np.sqrt(2)])


def test_the_own_group_is_left_out() -> None:
    points = np.arange(6.0)[:, None]
    groups = np.array([0, 0, 1, 1, 2, 2])
    queries, own = points[[0, 5]], groups[[0, 5]]
    _, indices = nearest(points, queries, 2, groups, own)
    assert indices.tolist() == [[2, 3], [3, 2]]
    assert nearest(points, queries, 2)[1].tolist() == [[0, 1], [5, 4]]
    alone, _ = nearest(points[:2], queries[:1], 2, groups[:2], own[:1])
    assert np.isinf(alone).all()
