from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from wsrl.analysis.figures import (
    confusion_matrices,
    embedding_map,
    output_comparison,
    predicted_against_true,
    probing_dialogue,
)

rng = np.random.default_rng(0)


def probabilities(*shape: int) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def drawn(figure: Figure) -> str:
    """Draw without any warning; return the titles."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(BytesIO())
    titles = [axis.get_title(loc=loc) for axis in figure.axes for loc in ("left", "center")]
    return " | ".join([figure.get_suptitle(), *titles])


def test_outputs_are_shown_with_their_distance() -> None:
    original, emulated = probabilities(9, 4), probabilities(9, 4)
    figure = output_comparison(original, emulated, True, "run 3", labels=["a", "b", "c", "EOS"])
    top, middle, bottom, *_ = figure.axes
    np.testing.assert_array_equal(top.images[0].get_array(), original.T)
    np.testing.assert_array_equal(middle.images[0].get_array(), emulated.T)
    distance = 0.5 * np.abs(original - emulated).sum(1)
    np.testing.assert_allclose([bar.get_height() for bar in bottom.patches], distance)
    assert [label.get_text() for label in top.get_yticklabels()] == ["a", "b", "c", "EOS"]
    assert f"total variation, on average {distance.mean():.3f}" in drawn(figure)


@pytest.mark.parametrize("shown", ["values", "images", "lines"])
@pytest.mark.parametrize("count", [1, 3])
def test_probing_has_a_column_for_every_rnn(count: int, shown: str) -> None:
    inputs, outputs = probabilities(count, 7, 5), probabilities(count, 7, 4)
    inputs = inputs[..., :1] if shown == "lines" else inputs
    images = rng.random((count, 6, 6)) if shown == "images" else None
    titles = [f"RNN {number}" for number in range(count)]
    figure = probing_dialogue(inputs, outputs, True, titles, "abcde", "wxyz", images)
    text = drawn(figure)
    for column in range(count):
        asked, answered = figure.axes[column], figure.axes[count + column]
        if shown == "lines":
            assert not asked.images
            np.testing.assert_array_equal(asked.lines[0].get_ydata(), inputs[column, :, 0])
        else:
            wanted = inputs[column].T if images is None else images[column]
            np.testing.assert_array_equal(asked.images[0].get_array(), wanted)
        np.testing.assert_array_equal(answered.images[0].get_array(), outputs[column].T)
        assert f"RNN {column}\nprobing inputs" in text
        assert "".join(label.get_text() for label in answered.get_yticklabels()) == "wxyz"


@pytest.mark.parametrize("entries", [0, 1, 3, 5])
def test_map_shows_every_embedding_twice(entries: int) -> None:
    values, performance = rng.normal(size=(40, 6)) * [5, 3, 1, 1, 0.5, 0.2], rng.random(40)
    tasks = np.column_stack([np.zeros(40), rng.integers(-3, 3, (40, entries))])
    splits = ["validation"] * 25 + ["ood"] * 15
    figure = embedding_map(values, performance, tasks, splits, task_entries="abcdef"[: entries + 1])
    _, directions = np.linalg.eigh(np.cov(values[:25].T))
    points = (values - values[:25].mean(0)) @ directions[:, [-1, -2]]
    for axis in figure.axes[:2]:
        shown = [part for part in axis.collections if isinstance(part, PathCollection)]
        offsets = np.concatenate([part.get_offsets() for part in shown])
        np.testing.assert_allclose(np.abs(offsets), np.abs(points), atol=1e-9)
    colours = np.concatenate([part.get_array() for part in figure.axes[0].collections])
    np.testing.assert_allclose(colours, performance)
    assert ("main directions" in drawn(figure)) == (entries > 1)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["validation", "ood"]


def colours_of(tasks: np.ndarray, *period: float) -> np.ndarray:
    count = len(tasks)
    figure = embedding_map(
        rng.normal(size=(count, 3)), np.ones(count), tasks, ["a"] * count, *period
    )
    drawn(figure)  # colours of a scale are computed when they are drawn
    (shown,) = [part for part in figure.axes[1].collections if len(part.get_offsets())]
    return np.asarray(shown.get_facecolors()[:, :3])


@pytest.mark.parametrize("entries", [1, 2, 3, 5])
def test_equal_tasks_have_equal_colours_and_others_others(entries: int) -> None:
    tasks = np.repeat(rng.permuted(np.arange(6.0)[:, None] * np.ones(entries), axis=0), 2, 0)
    colours = colours_of(tasks)
    np.testing.assert_array_equal(colours[::2], colours[1::2])
    assert len(np.unique(colours.round(3), axis=0)) == 6
    assert colours.sum(1).max() < 2.75  # none vanishes on white


def test_tasks_on_a_circle_have_colours_that_meet() -> None:
    colours = colours_of(np.array([[0.0], [90.0], [359.9], [180.0]]), 360)
    assert np.abs(colours[0] - colours[2]).max() < 0.1 < np.abs(colours[0] - colours[3]).max()


def test_a_performance_that_nobody_knows_is_not_drawn() -> None:
    embeddings, tasks = rng.normal(size=(4, 3)), np.arange(4.0)[:, None]
    for known in (False, True):
        performance = np.array([0.1 if known else np.nan, *[np.nan] * 3])
        figure = embedding_map(embeddings, performance, tasks, ["a"] * 4)
        assert ("performance" in drawn(figure)) is known
    drawn(embedding_map(np.ones((1, 4)), np.zeros(1), np.zeros((1, 2)), ["ood"]))


def test_a_confusion_matrix_has_the_shares_of_every_true_class() -> None:
    target = np.array([[0, 1], [0, 1], [2, 0], [2, 2]])
    figure = confusion_matrices(target, np.array([[0, 1], [1, 1], [2, 0], [2, 0]]))
    first, second = (axis.images[0].get_array() for axis in figure.axes[:2])
    np.testing.assert_array_equal(first, [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(second, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    drawn(figure)


def test_predictions_are_drawn_over_what_is_true() -> None:
    target, predicted = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    figure = predicted_against_true(target, predicted)
    for part, axis in enumerate(figure.axes):
        points = axis.collections[0].get_offsets()
        np.testing.assert_array_equal(points, np.column_stack([target, predicted])[:, part::2])
    drawn(figure)
