from __future__ import annotations

import numpy as np

from tests.analysis.circuits import drawn as drawn_tasks
from tests.analysis.circuits import interactions_of
from tests.analysis.test_figures import drawn
from wsrl.analysis.memory_figures import interactions_beside, spectra, variables_over_time

rng = np.random.default_rng(0)
OWN = interactions_of(drawn_tasks(1)[0])


def test_interactions_are_shown_beside_each_other_on_one_scale() -> None:
    figure = interactions_beside(OWN.reduced, 1.1 * OWN.reduced, OWN.kept, OWN.dims, "title")
    left, right = (axis.images[0] for axis in figure.axes[:2])
    assert left.get_clim() == right.get_clim()
    np.testing.assert_array_equal(left.get_array(), OWN.reduced)
    np.testing.assert_allclose(right.get_array(), 1.1 * OWN.reduced)
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == [str(block + 1) for block in np.unique(OWN.kept // OWN.dims)]
    drawn(figure)


def test_spectra_count_what_lasts_under_a_title_that_touches_nothing() -> None:
    found = np.concatenate([np.linalg.eigvals(OWN.reduced), [0.5, -0.2j]])
    title = "tanh 1x128, task 9241421688590303745,262676,189: no basis"
    figure = spectra(found, np.linalg.eigvals(OWN.reduced), 0.9, title)
    labels = [text.get_text() for text in figure.legends[0].get_texts()][2:]
    assert labels == ["RNN, decaying (2)", f"RNN, lasting ({OWN.rank})", f"task ({OWN.rank})"]
    drawn(figure)
    extent = next(text for text in figure.texts if text.get_text() == title).get_window_extent()
    assert not extent.overlaps(figure.legends[0].get_window_extent())
    assert 0 < extent.x0 < extent.x1 < figure.bbox.x1


def test_variables_are_shown_over_time_over_the_truth() -> None:
    truth = OWN.follow(rng.choice([-1.0, 1.0], 16), 8)[..., OWN.kept]
    read = 1.3 * truth + 0.1 * rng.normal(size=truth.shape)
    figure = variables_over_time(read, truth, OWN.kept, OWN.dims, "title")
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), truth.T)
    drawn(figure)
