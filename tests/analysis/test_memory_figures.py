from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tests.analysis.circuits import drawn, interactions_of
from wsrl.analysis.memory_figures import (
    interactions_beside,
    spectra,
    variables_over_time,
)

rng = np.random.default_rng(0)
OWN = interactions_of(drawn(1)[0])
TRUTH = OWN.follow(rng.choice([-1.0, 1.0], (5, 16)), 8)[..., OWN.kept]
READ = 1.3 * TRUTH + 0.1 * rng.normal(size=TRUTH.shape)


def check_draws(figure: Figure, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(folder / "figure.png")
    assert (folder / "figure.png").stat().st_size > 5000


def test_interactions_are_shown_beside_each_other_on_one_scale(tmp_path: Path) -> None:
    figure = interactions_beside(OWN.reduced, 1.1 * OWN.reduced, OWN.kept, OWN.dims, "title")
    left, right = (axis.images[0] for axis in figure.axes[:2])
    assert left.norm is right.norm or left.get_clim() == right.get_clim()
    np.testing.assert_array_equal(left.get_array(), OWN.reduced)
    np.testing.assert_allclose(right.get_array(), 1.1 * OWN.reduced)
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == [str(block + 1) for block in np.unique(OWN.kept // OWN.dims)]
    check_draws(figure, tmp_path)


def test_spectra_count_what_lasts(tmp_path: Path) -> None:
    found = np.concatenate([np.linalg.eigvals(OWN.reduced), [0.5, -0.2j]])
    figure = spectra(found, np.linalg.eigvals(OWN.reduced), 0.9, "title")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[2:] == [
        "RNN, decaying (2)",
        f"RNN, lasting ({OWN.rank})",
        f"task ({OWN.rank})",
    ]
    check_draws(figure, tmp_path)


LONG = "tanh 1x128, task 9241421688590303745,262676,189: no basis"


def test_a_long_title_touches_nothing(tmp_path: Path) -> None:
    figure = spectra(np.linalg.eigvals(OWN.reduced), np.ones(1), 0.9, LONG)
    check_draws(figure, tmp_path)
    title = next(text for text in figure.texts if text.get_text() == LONG)
    extent = title.get_window_extent()
    assert not extent.overlaps(figure.legends[0].get_window_extent())
    assert extent.x0 > 0
    assert extent.x1 < figure.bbox.x1


def test_variables_are_shown_over_time_over_the_truth(tmp_path: Path) -> None:
    figure = variables_over_time(READ[0], TRUTH[0], OWN.kept, OWN.dims, "title")
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), TRUTH[0].T)
    check_draws(figure, tmp_path)
