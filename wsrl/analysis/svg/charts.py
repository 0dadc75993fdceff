"""Bars with intervals, and curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wsrl.analysis.svg.axes import Axis, draw_frame, draw_x
from wsrl.analysis.svg.drawing import (
    Drawing,
    category,
    dash_of,
    shortened,
    text_width,
)

WIDTH = 360.0
"""Of a drawing: that of a phone, so that text is never made small."""

_BAR = 9.0


@dataclass(frozen=True)
class Bar:
    """A value with its interval, and the single values that it is the mean of."""

    value: float
    low: float | None = None
    high: float | None = None
    single: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: lines of one name stand in the legend once.
        style: the number of its colour and dashes.
        x: where.
        y: how much.
    """

    name: str
    style: int
    x: Sequence[float]
    y: Sequence[float]


def interval_bars(
    title: str,
    unit: str,
    rows: Sequence[tuple[str, Sequence[Bar | None]]],
    groups: Sequence[str],
) -> str:
    """Draw lying bars from 0: a row for each name, in it a bar for each group.

    Args:
        title: what is shown.
        unit: what the values are.
        rows: names with a bar for each group; ``None`` where there is no value.
        groups: their names, as of splits; each has a colour.

    Returns:
        The SVG.
    """
    pitch = _BAR * len(groups) + 8
    left = min(160.0, 8 + max((text_width(name) for name, _ in rows), default=0))
    top, bottom = 20.0, 20.0 + pitch * len(rows)
    drawing = Drawing(WIDTH, bottom + 36, title, f"{unit}, of {', '.join(n for n, _ in rows)}")
    bars = [bar for _, row in rows for bar in row if bar is not None]
    ends = [v for b in bars for v in (b.value, b.low, b.high, *b.single) if v is not None]
    x = Axis.over(ends, left, WIDTH - 10, zero=True)
    draw_x(drawing, x, top, bottom, unit)
    marks = [f'<path d="M-7 0h14" style="{_stroke(i, _BAR)}"/>' for i in range(len(groups))]
    drawing.legend(left, 0, groups, marks)
    for index, (name, row) in enumerate(rows):
        y = top + pitch * index + 4
        middle = y + _BAR * len(groups) / 2
        drawing.text(left - 5, middle + 4, shortened(name, left - 5), "end")
        for place, bar in enumerate(row):
            _bar(drawing, x, y + _BAR * place, bar, category(place))
    return drawing.render()


def curves(title: str, x_label: str, y_label: str, lines: Sequence[Line], log: bool = False) -> str:
    """Draw curves with a legend.

    Args:
        title: what is shown.
        x_label: with its unit.
        y_label: with its unit.
        lines: what is drawn; values that are not finite are gaps.
        log: whether ``y`` goes by its logarithm.

    Returns:
        The SVG.
    """
    styles = {line.name: line.style for line in lines}
    names, marks = list(styles), [_line_mark(style) for style in styles.values()]
    drawing = Drawing(WIDTH, 0, title, f"{y_label} by {x_label}, of {', '.join(names)}")
    x = Axis.over([v for line in lines for v in line.x], 52, WIDTH - 12)
    y = Axis.over([v for line in lines for v in line.y], 200, 8, log)
    draw_frame(drawing, x, y, x_label, y_label)
    for line in lines:
        for piece in _pieces(line, y):
            points = [(x(a), y(b)) for a, b in piece]
            drawing.path(points, category(line.style), dash_of(line.style))
            if len(points) == 1:
                drawing.dots(points, category(line.style), 4)
    drawing.height = 238 + drawing.legend(8, 236, names, marks)
    return drawing.render()


def _pieces(line: Line, y: Axis) -> list[list[tuple[float, float]]]:
    """Return the parts of a line between values that are not finite."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in zip(line.x, line.y, strict=True):
        if y.shows(point[1]):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _bar(drawing: Drawing, x: Axis, y: float, bar: Bar | None, colour: str) -> None:
    zero = x(0)
    if bar is None or not math.isfinite(bar.value):
        drawing.text(zero + 3, y + _BAR, "no value", style="fill:var(--quiet);font-size:9px")
        return
    start, end = sorted((zero, x(bar.value)))
    drawing.rect(start, y + 1, end - start, _BAR - 2, f"fill:{colour};fill-opacity:0.75")
    middle = y + _BAR / 2
    if bar.low is not None and bar.high is not None:
        drawing.line(x(bar.low), middle, x(bar.high), middle, "stroke:var(--ink);stroke-width:1.5")
    drawing.dots([(x(v), middle) for v in bar.single if x.shows(v)], "var(--ink)", 3)


def _stroke(index: int, width: float) -> str:
    return f"stroke:{category(index)};stroke-width:{width:g};stroke-opacity:0.75"


def _line_mark(style: int) -> str:
    look = f"stroke:{category(style)};stroke-width:2;stroke-dasharray:{dash_of(style) or 'none'}"
    return f'<path d="M-8 0h16" style="{look}"/>'
