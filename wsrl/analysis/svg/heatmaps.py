"""Values over time as shades of one colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsrl.analysis.svg.charts import WIDTH
from wsrl.analysis.svg.drawing import Drawing, shortened

_LEVELS = 10
_QUIET = "fill:var(--quiet)"
_SMALL = "font-size:10px"


def heatmap(
    title: str,
    values: NDArray[Any],
    bounds: tuple[float, float],
    labels: Sequence[str],
    x_label: str,
    square: bool = False,
) -> str:
    """Draw values over time as shades of one colour.

    Args:
        title: what is shown.
        values: ``(T, n)``; not finite ones are left out.
        bounds: the value that has no colour, and the one that has all of it.
        labels: ``n`` names of the rows, or none.
        x_label: of time.
        square: whether a step is as wide as a row is high, as in an image.

    Returns:
        The SVG.
    """
    steps, rows = values.shape
    left = 52.0 if labels else 3.0
    width = (WIDTH - left - 6) / max(steps, 1)
    high = width if square else 14.0 if rows <= 12 else 8.0
    bottom = 4 + high * rows
    drawing = Drawing(WIDTH, bottom + (20 if x_label else 4), title, f"{rows} rows, {steps} steps")
    drawing.rect(left, 4, width * steps, high * rows, "fill:var(--band)")
    for level, runs in _runs(values, bounds).items():
        # A stroke as wide as a row: shorter to write than rectangles.
        place = [
            f"M{left + width * start:.1f} {4 + high * (row + 0.5):.1f}h{width * length:.1f}"
            for row, start, length in runs
        ]
        thick = f"stroke-width:{high - (not square):.1f}"
        look = f"stroke:var(--c0);{thick};stroke-opacity:{level / _LEVELS:g}"
        drawing.add(f'<path d="{"".join(place)}" style="{look}"/>')
    for row, name in enumerate(labels):
        drawing.text(left - 4, 4 + high * (row + 0.5) + 4, shortened(name, left - 4), "end", _SMALL)
    if x_label:
        drawing.text(left, bottom + 12, "1", "start", _QUIET)
        drawing.text(left + width * steps, bottom + 12, str(steps), "end", _QUIET)
        drawing.text(left + width * steps / 2, bottom + 14, x_label, "middle")
    return drawing.render()


def _runs(
    values: NDArray[Any], bounds: tuple[float, float]
) -> dict[int, list[tuple[int, int, int]]]:
    """Return for each level but the lowest where it stands: row, first step, steps."""
    low, high = bounds
    share = np.where(np.isfinite(values), (values - low) / ((high - low) or 1.0), 0.0)
    levels = np.rint(share.clip(0, 1) * _LEVELS).astype(int)
    found: dict[int, list[tuple[int, int, int]]] = {}
    for row, line in enumerate(levels.T):
        edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
        for start, end in pairwise(edges):
            if start < end and (level := int(line[start])) > 0:
                found.setdefault(level, []).append((row, start, end - start))
    return dict(sorted(found.items()))
