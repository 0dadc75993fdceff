from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

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


def texts(figure: Figure) -> str:
    titles = [axis.get_title(loc=loc) for axis in figure.axes for loc in ("left", "center")]
    return " | ".join([figure.get_suptitle(), *titles])


def check_draws(figure: Figure, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(folder / "figure.png")
    assert (folder / "figure.png").stat().st_size > 5000


def test_outputs_are_shown_with_their_distance(tmp_path: Path) -> None:
    original, emulated = probabilities(9, 4), probabilities(9, 4)
    figure = output_comparison(original, emulated, True, "run 3", labels=["a", "b", "c", "EOS"])
    top, middle, bottom, *_ = figure.axes
    np.testing.assert_array_equal(top.images[0].get_array(), original.T)
    np.testing.assert_array_equal(middle.images[0].get_array(), emulated.T)
    distance = 0.5 * np.abs(original - emulated).sum(1)
    np.testing.assert_allclose([bar.get_height() for bar in bottom.patches], distance)
    assert [label.get_text() for label in top.get_yticklabels()] == ["a", "b", "c", "EOS"]
    assert f"total variation, on average {distance.mean():.3f}" in texts(figure)
    assert "run 3" in texts(figure)
    check_draws(figure, tmp_path)


@pytest.mark.parametrize("count", [1, 3])
def test_probing_has_a_column_for_every_rnn(tmp_path: Path, count: int) -> None:
    inputs, outputs = probabilities(count, 7, 5), probabilities(count, 7, 4)
    titles = [f"RNN {number}" for number in range(count)]
    figure = probing_dialogue(inputs, outputs, True, titles, "abcde", "wxyz")
    for column in range(count):
        asked, answered = figure.axes[column], figure.axes[count + column]
        np.testing.assert_array_equal(asked.images[0].get_array(), inputs[column].T)
        np.testing.assert_array_equal(answered.images[0].get_array(), outputs[column].T)
        assert f"RNN {column}\nprobing inputs" in texts(figure)
        for axis, letters in ((asked, "abcde"), (answered, "wxyz")):
            assert "".join(label.get_text() for label in axis.get_yticklabels()) == letters
    check_draws(figure, tmp_path)


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 5])
def test_map_shows_every_embedding_twice(tmp_path: Path, entries: int) -> None:
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
    assert "coloured by performance" in texts(figure)
    assert ("main directions" in texts(figure)) == (entries > 1)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["validation", "ood"]
    check_draws(figure, tmp_path)


@pytest.mark.parametrize("entries", [1, 2, 3, 5])
def test_equal_tasks_have_equal_colours_and_others_others(entries: int) -> None:
    tasks = np.repeat(rng.permuted(np.arange(6.0)[:, None] * np.ones(entries), axis=0), 2, 0)
    figure = embedding_map(rng.normal(size=(12, 3)), np.ones(12), tasks, ["validation"] * 12)
    figure.savefig(BytesIO())  # colours of a scale are computed when they are drawn
    (shown,) = [part for part in figure.axes[1].collections if len(part.get_offsets())]
    colours = shown.get_facecolors()[:, :3]
    np.testing.assert_array_equal(colours[::2], colours[1::2])
    assert len(np.unique(colours.round(3), axis=0)) == 6
    assert colours.sum(1).max() < 2.75  # none vanishes on white


def test_probing_inputs_are_shown_as_the_images_they_are(tmp_path: Path) -> None:
    images = rng.random((2, 6, 6))
    figure = probing_dialogue(
        rng.random((2, 9, 4)), probabilities(2, 9, 3), True, ["a", "b"], images=images
    )
    for axis, image in zip(figure.axes[:2], images, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), image)
    assert figure.axes[2].images[0].get_array().shape == (3, 9)
    check_draws(figure, tmp_path)


def test_tasks_on_a_circle_have_colours_that_meet(tmp_path: Path) -> None:
    angles = np.array([[0.0], [90.0], [359.9], [180.0]])
    figure = embedding_map(rng.normal(size=(4, 3)), rng.random(4), angles, ["a"] * 4, 360)
    (points,) = [c for c in figure.axes[1].collections if len(c.get_offsets()) == 4]
    figure.draw_without_rendering()
    colours = points.get_facecolors()
    assert np.abs(colours[0] - colours[2]).max() < 0.1 < np.abs(colours[0] - colours[3]).max()
    check_draws(figure, tmp_path)


def test_a_performance_that_nobody_knows_is_not_drawn(tmp_path: Path) -> None:
    embeddings, tasks = rng.normal(size=(4, 3)), np.arange(4.0)[:, None]
    unknown = embedding_map(embeddings, np.full(4, np.nan), tasks, ["a"] * 4)
    assert "performance" not in texts(unknown)
    check_draws(unknown, tmp_path)
    partly = embedding_map(embeddings, np.array([0.1, np.nan, 0.5, 1.0]), tasks, ["a"] * 4)
    assert "performance" in texts(partly)
    check_draws(partly, tmp_path)
    check_draws(embedding_map(np.ones((1, 4)), np.zeros(1), np.zeros((1, 2)), ["ood"]), tmp_path)


def test_a_single_input_is_a_line(tmp_path: Path) -> None:
    inputs, outputs = rng.normal(size=(2, 9, 1)), probabilities(2, 9, 3)
    figure = probing_dialogue(inputs, outputs, True, ["a", "b"])
    for axis, values in zip(figure.axes[:2], inputs, strict=True):
        assert not axis.images
        np.testing.assert_array_equal(axis.lines[0].get_ydata(), values[:, 0])
    check_draws(figure, tmp_path)


def test_a_confusion_matrix_has_the_shares_of_every_true_class(tmp_path: Path) -> None:
    target = np.array([[0, 1], [0, 1], [2, 0], [2, 2]])
    figure = confusion_matrices(target, np.array([[0, 1], [1, 1], [2, 0], [2, 0]]))
    first, second = (axis.images[0].get_array() for axis in figure.axes[:2])
    np.testing.assert_array_equal(first, [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(second, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    check_draws(figure, tmp_path)


def test_predictions_are_drawn_over_what_is_true(tmp_path: Path) -> None:
    target, predicted = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    figure = predicted_against_true(target, predicted)
    for part, axis in enumerate(figure.axes):
        points = axis.collections[0].get_offsets()
        np.testing.assert_array_equal(points, np.column_stack([target, predicted])[:, part::2])
    check_draws(figure, tmp_path)
