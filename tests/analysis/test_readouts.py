"""Readers without a trained encoder: what they must learn, and what they cannot."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import circmean
from torch import nn

from wsrl.analysis import readouts
from wsrl.analysis.readouts import (
    ComponentReadout,
    MeanReadout,
    Readout,
    TreeReadout,
    answers,
    draw_probes,
)
from wsrl.rnn import RNNWeights
from wsrl.tasks.targets import Angle, Classes, Real

CODES = {
    "classes": Classes(2, 3),
    "real": Real(2),
    "angle": Angle(2, period=360.0),
}
READOUTS = [partial(ComponentReadout, steps=300), TreeReadout]


def features(count: int = 400) -> NDArray[Any]:
    """Many columns, of which few directions say anything."""
    rng = np.random.default_rng(0)
    hidden = rng.uniform(-1, 1, (count, 3))
    return np.concatenate([hidden, 0.01 * rng.normal(size=(count, 30))], 1)


def targets(kind: str, values: NDArray[Any]) -> NDArray[Any]:
    """Two parts that follow from features ``(n, F)``."""
    one, two = values[:, 0], values[:, 1]
    if kind == "classes":
        return np.stack([np.digitize(one, [-0.4, 0.4]), (two > 0).astype(int)], 1)
    if kind == "angle":
        return np.stack([np.rad2deg(np.arctan2(one, two)) % 360, 300 + 50 * one], 1)
    return np.stack([1000 + 30 * one, one + np.abs(two)], 1)


def learned(readout: Readout, kind: str, shuffled: bool = False) -> NDArray[np.float64]:
    """Return the error on rows that were not learned from."""
    values = features()
    truth = targets(kind, values)
    known = truth[:200]
    if shuffled:
        known = np.random.default_rng(1).permutation(known)
    readout.fit(values[:200], known)
    predicted = readout.predict(values[200:])
    assert predicted.shape == (200, 2)
    pairs = (torch.from_numpy(values) for values in (predicted, truth[200:]))
    return CODES[kind].difference(*pairs).double().mean(0).numpy()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("readout", READOUTS)
def test_what_follows_from_the_features_is_learned_and_nothing_else(
    readout: Any, kind: str
) -> None:
    baseline = learned(MeanReadout(CODES[kind]), kind)
    assert (learned(readout(CODES[kind]), kind) < 0.5 * baseline).all()
    assert (learned(readout(CODES[kind]), kind, shuffled=True) > 0.8 * baseline).all()


def test_the_mean_is_numpys_and_scipys() -> None:
    rng = np.random.default_rng(0)
    unseen = np.zeros((4, 0))
    wanted = {
        "classes": (classes := rng.integers(0, 3, (31, 2)) ** 2 // 2, _most_frequent(classes)),
        "real": (values := rng.normal(size=(31, 2)), values.mean(0)),
        "angle": (angles := rng.uniform(250, 470, (31, 2)) % 360, circmean(angles, 360, axis=0)),
    }
    for kind, (target, expected) in wanted.items():
        readout = MeanReadout(CODES[kind])
        readout.fit(np.zeros((31, 0)), target)
        np.testing.assert_allclose(readout.predict(unseen), np.tile(expected, (4, 1)))
    assert np.abs(angles.mean(0) - circmean(angles, 360, axis=0)).min() > 10  # another mean


def _most_frequent(classes: NDArray[Any]) -> NDArray[Any]:
    return np.array([np.bincount(column).argmax() for column in classes.T])


def test_one_row_or_one_class_is_enough() -> None:
    one = Classes(1, 1)
    for readout in (ComponentReadout(one, steps=10), TreeReadout(one), MeanReadout(one)):
        readout.fit(np.random.rand(5, 2), np.zeros((5, 1), dtype=int))  # noqa: NPY002
        assert readout.predict(np.zeros((3, 2))).tolist() == [[0]] * 3
    few = ComponentReadout(Real(1))
    few.fit(np.ones((1, 4)), np.array([[7.0]]))
    np.testing.assert_allclose(few.predict(np.ones((2, 4))), [[7.0]] * 2, atol=0.1)


def test_the_seed_says_what_a_network_learns() -> None:
    values = features()
    truth = targets("real", values)

    def predicted(seed: int) -> NDArray[Any]:
        readout = ComponentReadout(CODES["real"], seed, steps=20)
        readout.fit(values, truth)
        return readout.predict(values)

    assert np.array_equal(predicted(1), predicted(1))
    assert not np.array_equal(predicted(1), predicted(2))


def test_probes_lie_where_learned_ones_would() -> None:
    def draw(activation: str, seed: int = 0) -> torch.Tensor:
        return draw_probes(5, 40, 3, activation, torch.Generator().manual_seed(seed))

    tokens = draw("softmax")
    assert tokens.shape == (5, 40, 3)
    assert torch.equal(tokens.sum(-1), torch.ones(5, 40))
    assert set(tokens.unique().tolist()) == {0, 1}
    assert 0.2 < tokens.mean((0, 1)).min() < 0.4  # every token
    for activation, least, most in (("sigmoid", 0, 1), ("tanh", -1, 1)):
        values = draw(activation)
        assert least <= values.min() < least + 0.1 < most - 0.1 < values.max() < most
    assert 0.9 < draw("identity").std() < 1.1
    assert torch.equal(draw("tanh", 3), draw("tanh", 3))
    assert not torch.equal(draw("tanh", 3), draw("tanh", 4))
    with pytest.raises(ValueError, match="unknown activation 'relu'; choose one of softmax"):
        draw("relu")


def test_answers_are_those_of_torch_to_the_same_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readouts, "TOGETHER", 2)
    models = [(nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2)) for _ in range(5)]
    flat = torch.cat([RNNWeights.from_module(*model).flat for model in models])
    weights = RNNWeights(flat, RNNWeights.from_module(*models[0]).spec)
    probes = torch.randn(6, 7, 3)
    found = answers(weights, probes)
    for row, (lstm, linear) in zip(found, models, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(row, linear(lstm(probes)[0]), rtol=1e-5, atol=1e-6)
