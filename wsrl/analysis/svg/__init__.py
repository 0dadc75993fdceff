"""Drawings as SVG text, to be put into a page: numbers in, a string out.

Colours are CSS variables of the page, so that one drawing is right on light and dark paper:
``--ink``, ``--quiet``, ``--line``, ``--band``, ``--c0`` to ``--c7`` (categories), ``--s0`` to
``--s8`` (a scale from low to high) and ``--y0`` to ``--y7`` (round a circle).
"""

from wsrl.analysis.svg.charts import Bar, Line, curves, interval_bars
from wsrl.analysis.svg.clouds import Cloud, colour_map, scatter
from wsrl.analysis.svg.heatmaps import heatmap

__all__ = [
    "Bar",
    "Cloud",
    "Line",
    "colour_map",
    "curves",
    "heatmap",
    "interval_bars",
    "scatter",
]
