"""Drawings: well-formed, to scale, and with nothing lost."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrl.analysis.svg import Bar, Cloud, Line, colour_map, curves, heatmap, interval_bars, scatter
from wsrl.analysis.svg.axes import Axis

NAME = "a <b> & \"c\" 'd'"
POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6)


def parse(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root[0].tag == "title"
    return root


def dots(root: ElementTree.Element, colour: str) -> list[tuple[float, float]]:
    """Return the places of the dots of a colour."""
    paths = [
        path.get("d", "")
        for path in root.iter("path")
        if f"stroke:{colour};" in path.get("style", "") and "h0" in path.get("d", "")
    ]
    return [(float(x), float(y)) for d in paths for x, y in re.findall(r"M(\S+) (\S+?)h0", d)]


@given(POSITIVE, st.booleans())
def test_an_axis_holds_all_values_in_their_order_and_its_ticks(
    values: list[float], log: bool
) -> None:
    axis = Axis.over(values, 10, 210, log)
    places = [axis(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 210 for place in places)
    assert axis.ticks()
    assert all(axis.shows(tick) for tick in axis.ticks())


def test_an_axis_is_linear_or_logarithmic() -> None:
    linear, log = Axis(0, 100, 0, 50), Axis(1, 100, 0, 50, log=True)
    assert linear(50) == pytest.approx(25)
    assert log(10) == pytest.approx(25)
    assert linear.ticks() == [0, 20, 40, 60, 80, 100]
    assert log.ticks() == [1, 10, 100]


@pytest.mark.parametrize("values", [[], [0.0], [math.nan, math.inf], [-3.0, -3.0]])
def test_axes_of_nothing_or_one_value_are_axes(values: list[float]) -> None:
    for log, zero in ((False, False), (False, True), (True, False)):
        axis = Axis.over(values, 0, 100, log, zero)
        assert axis.low < axis.high
        assert axis.ticks()


def test_bars_are_as_long_as_their_values() -> None:
    rows = [("one", [Bar(1.0, 0.5, 1.5), None]), (NAME, [Bar(2.0), Bar(float("nan"))])]
    root = parse(interval_bars(NAME, "unit", rows, ["validation", "OOD"]))
    widths = [float(rect.get("width", 0)) for rect in root.iter("rect")]
    assert len(widths) == 2  # of the others it is said that there is no value
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    texts = [text.text for text in root.iter("text")]
    assert texts.count("no value") == 2
    assert NAME in texts


def test_a_curve_has_a_gap_where_it_is_no_number() -> None:
    whole = Line("a", 0, [0, 1, 2, 3, 4], [1.0, 2.0, 3.0, 2.0, 1.0])
    broken = Line(NAME, 9, [0, 1, 2, 3, 4], [1.0, 2.0, math.nan, 2.0, 1.0])
    root = parse(curves("title", "step", "loss", [whole, broken]))
    paths = dict.fromkeys(("var(--c0)", "var(--c1)"), 0)
    for path in root.iter("path"):
        for colour in paths:
            if f"stroke:{colour}" in path.get("style", "") and "L" in path.get("d", ""):
                paths[colour] += 1
    assert paths == {"var(--c0)": 1, "var(--c1)": 2}
    assert [text.text for text in root.iter("text")][-2:] == ["a", NAME]


def test_equal_scores_lie_on_the_diagonal() -> None:
    values = [0.1, 0.4, 0.7]
    root = parse(scatter("t", "x", "y", [Cloud("a", 0, values, values)], diagonal=True))
    line = next(e for e in root.iter("line") if "dasharray" in e.get("style", ""))
    x1, y1, x2, y2 = (float(line.get(name, "")) for name in ("x1", "y1", "x2", "y2"))
    found = dots(root, "var(--c0)")
    assert len(found) == 3
    for x, y in found:
        assert y == pytest.approx(y1 + (x - x1) * (y2 - y1) / (x2 - x1), abs=0.2)


def test_points_that_are_no_numbers_are_left_out_of_a_scatter() -> None:
    cloud = Cloud("a", 0, [0.1, math.nan, 0.3], [0.1, 0.2, math.inf])
    assert len(dots(parse(scatter("t", "x", "y", [cloud])), "var(--c0)")) == 1


def test_a_map_has_all_points_in_the_colours_of_their_values() -> None:
    points = np.random.default_rng(0).normal(size=(40, 2))
    values = np.repeat([0.0, 100.0, 5000.0, np.nan], 10)
    root = parse(colour_map("t", points, values, "step"))
    # Steps are as far apart as can be, however far they are.
    for place, colour in enumerate(("var(--s0)", "var(--s4)", "var(--s8)", "var(--line)")):
        found = np.array(dots(root, colour))
        own = points[10 * place : 10 * place + 10]
        assert np.corrcoef(found[:, 0], own[:, 0])[0, 1] > 0.999
        assert np.corrcoef(found[:, 1], own[:, 1])[0, 1] < -0.999  # drawings go downwards


def test_a_circle_has_colours_of_its_own() -> None:
    points = np.random.default_rng(0).normal(size=(8, 2))
    root = parse(colour_map("t", points, np.arange(0, 360, 45.0), "angle", cyclic=True))
    assert [len(dots(root, f"var(--y{index})")) for index in range(8)] == [1] * 8
    assert not dots(root, "var(--s0)")


@given(st.integers(1, 9), st.integers(1, 15), st.integers(0, 99))
def test_a_heatmap_can_be_read_back(steps: int, rows: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 11, size=(steps, rows)) / 10.0
    root = parse(heatmap("t", values, (0, 1), [f"output {i}" for i in range(rows)], "step"))
    background = next(root.iter("rect"))
    left, top, width, height = (
        float(background.get(name, "")) for name in ("x", "y", "width", "height")
    )
    read = np.zeros((steps, rows))
    for path in root.iter("path"):
        shade = float(re.search(r"stroke-opacity:(\S+)", path.get("style", ""))[1])
        for x, y, length in re.findall(r"M(\S+) (\S+?)h(\S+?)(?=M|$)", path.get("d", "")):
            row = round((float(y) - top) / (height / rows) - 0.5)
            start = round((float(x) - left) / (width / steps))
            read[start : start + round(float(length) / (width / steps)), row] = shade
    assert np.allclose(read, values)
