"""Points: scatter with axes, and maps coloured by a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsrl.analysis.svg.axes import Axis, draw_frame, tick_text
from wsrl.analysis.svg.charts import WIDTH
from wsrl.analysis.svg.drawing import CATEGORIES, Drawing, category

SHADES = 9
"""Colours of the scale from low to high."""

HUES = 8
"""Colours round the circle."""

_MAP = 200.0
_FINE = 2  # places of a map are whole numbers of this part of a unit, which are short to write
_MARKS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "M-4 -4h8v8h-8z", "M0 -5l5 9h-10z")


@dataclass(frozen=True)
class Cloud:
    """Points of one kind.

    Attributes:
        name: of the kind.
        style: the number of its colour and mark.
        x: where.
        y: how high.
    """

    name: str
    style: int
    x: Sequence[float]
    y: Sequence[float]


def scatter(
    title: str,
    x_label: str,
    y_label: str,
    clouds: Sequence[Cloud],
    log: bool = False,
    diagonal: bool = False,
) -> str:
    """Draw points with a legend; single ones as large marks.

    Args:
        title: what is shown.
        x_label: with its unit.
        y_label: with its unit.
        clouds: what is drawn.
        log: whether ``x`` goes by its logarithm.
        diagonal: whether both axes are the same, with the line on which they agree.

    Returns:
        The SVG.
    """
    names = [cloud.name for cloud in clouds]
    drawing = Drawing(WIDTH, 0, title, f"{y_label} against {x_label}, of {', '.join(names)}")
    across, up = [v for c in clouds for v in c.x], [v for c in clouds for v in c.y]
    x = Axis.over(across + up if diagonal else across, 52, WIDTH - 12, log)
    y = Axis.over(across + up if diagonal else up, 220, 8)
    draw_frame(drawing, x, y, x_label, y_label)
    if diagonal:
        ends = (x(x.low), y(x.low), x(x.high), y(x.high))
        drawing.line(*ends, "stroke:var(--quiet);stroke-width:1;stroke-dasharray:4 3")
    for cloud in clouds:
        pairs = zip(cloud.x, cloud.y, strict=True)
        points = [(x(a), y(b)) for a, b in pairs if x.shows(a) and y.shows(b)]
        if len(cloud.x) > 1:
            drawing.dots(points, category(cloud.style), 4)
        for left, top in points if len(cloud.x) == 1 else ():
            drawing.add(f'<g transform="translate({left:.1f} {top:.1f})">{_mark(cloud.style)}</g>')
    marks = [_mark(cloud.style) for cloud in clouds]
    drawing.height = 258 + drawing.legend(8, 256, names, marks)
    return drawing.render()


def colour_map(
    title: str, points: NDArray[Any], values: NDArray[Any], label: str, cyclic: bool = False
) -> str:
    """Draw a square map of points coloured by a value.

    Args:
        title: what is shown.
        points: ``(n, 2)``; the map has no axes, since the places are of no unit.
        values: ``(n,)``; those that are not finite are grey.
        label: what the values are.
        cyclic: whether they go round a circle, from the smallest to the largest.

    Returns:
        The SVG.
    """
    drawing = Drawing(_MAP, _MAP + 30, title, f"coloured by {label}")
    drawing.rect(0, 0, _MAP, _MAP, "fill:var(--band)")
    places = _in_the_square(points)
    shades, colours = _shades(values, cyclic)
    drawing.add(f'<g transform="scale({1 / _FINE:g})">')
    for shade, colour in ((-1, "var(--line)"), *enumerate(colours)):
        chosen = [(float(x), float(y)) for x, y in places[shades == shade]]
        drawing.dots(chosen, colour, 4 * _FINE)
    drawing.add("</g>")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    width = 70 / len(colours)
    for index, colour in enumerate(colours):
        drawing.rect(65 + width * index, _MAP + 6, width + 0.3, 8, f"fill:{colour}")
    drawing.text(61, _MAP + 14, tick_text(low), "end")
    drawing.text(139, _MAP + 14, tick_text(high))
    drawing.text(_MAP / 2, _MAP + 27, label, "middle")
    return drawing.render()


def _in_the_square(points: NDArray[Any]) -> NDArray[np.int64]:
    """Return whole places ``(n, 2)`` within the map, the second one downwards; shape is kept."""
    centre = (points.max(0) + points.min(0)) / 2
    reach = float(np.ptp(points, 0).max()) or 1.0
    side = _MAP * _FINE
    places = side / 2 + (points - centre) / reach * (side - 16)
    places[:, 1] = side - places[:, 1]
    whole: NDArray[np.int64] = np.rint(places).astype(np.int64)
    return whole


def _shades(values: NDArray[Any], cyclic: bool) -> tuple[NDArray[np.int64], list[str]]:
    """Return each value's colour, -1 for none, and the colours."""
    count, letter = (HUES, "y") if cyclic else (SHADES, "s")
    colours = [f"var(--{letter}{index})" for index in range(count)]
    known = np.isfinite(values)
    shades = np.full(len(values), -1)
    different = np.unique(values[known])
    if len(different) <= count and not cyclic:  # steps, say: as far apart as can be
        spread = np.rint(np.linspace(0, count - 1, max(len(different), 1))).astype(int)
        shades[known] = spread[np.searchsorted(different, values[known])]
    elif len(different):
        share = (values[known] - different[0]) / ((different[-1] - different[0]) or 1)
        shades[known] = np.minimum((share * count).astype(int), count - 1)
    return shades, colours


def _mark(style: int) -> str:
    look = f"fill:{category(style)};fill-opacity:0.85"
    return f'<path d="{_MARKS[style // CATEGORIES % len(_MARKS)]}" style="{look}"/>'
