"""What a report is made of, before it is HTML or Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TypeAlias

from wsrl.analysis.comparison import BETTER, Estimate
from wsrl.terminal import printable

_NAMES = {
    "angular_error": "angular error (degrees)",
    "kendall_tau": "Kendall τ",
    "mae": "MAE",
    "ood": "OOD",
    "part_accuracy": "per part",
    "r2": "R²",
    "reverse_kl": "reverse KL",
    "shuffled_reverse_kl": "shuffled reverse KL",
}
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}


@dataclass(frozen=True)
class Value:
    """What stands in one place of a table.

    Attributes:
        text: the number, as it is shown.
        setting: which runs it is from, as ``reading.without_seed`` names them; empty for none.
        best: whether none is better.
        close: whether its interval overlaps that of the best.
        note: what else is to be said, as of seeds that failed.
    """

    text: str
    setting: str = ""
    best: bool = False
    close: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        columns: the head, the column of names included.
        rows: the name of each row, and its values.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Value, ...]], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing, for the HTML page only.

    Attributes:
        caption: what it shows.
        svg: the drawing, escaped already.
        small: whether several are to stand side by side even on a phone.
    """

    caption: str
    svg: str
    small: bool = False


@dataclass(frozen=True)
class Folded:
    """Parts that one unfolds.

    Attributes:
        title: what is seen before.
        parts: what is seen after.
    """

    title: str
    parts: tuple[Part, ...]


Part: TypeAlias = str | Table | Figure | Folded
"""A part of a section; text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        anchor: its identifier in links.
        title: its heading.
        parts: what is in it.
    """

    anchor: str
    title: str
    parts: tuple[Part, ...] = field(default=())


def html_text(text: str) -> str:
    """Return text that a page shows as it is, in elements and in attributes."""
    return escape(printable(text))


def number(value: float) -> str:
    """Write a number with as many digits as can mean anything over a few seeds."""
    size = abs(value)
    if value != value:
        return "NaN"
    if size < 1e-12:  # what rounding left
        return "0.000"
    if size < 0.01:
        return f"{value:.2g}"
    if size >= 1e7:
        return f"{value:.3g}"
    return f"{value:.3f}" if size < 10 else f"{value:,.1f}" if size < 1000 else f"{value:,.0f}"


def interval(found: Estimate, signed: bool = False) -> str:
    """Write a mean, with its sign in any case where asked for, and its interval if it has one."""
    mean = f"{'+' if signed and found.mean > 0 else ''}{number(found.mean)}"
    if found.low is None or found.high is None:
        return mean
    return f"{mean} ({number(found.low)} to {number(found.high)})"


def name_of(metric: str) -> str:
    """Return a metric's, or a split's, name as people write it."""
    return _NAMES.get(metric, metric.replace("_", " "))


def head_of(metric: str, split: str) -> str:
    """Return the head of a column: the metric, which way is better, and the split."""
    return f"{name_of(metric)}{_ARROWS[BETTER.get(metric, 0)]} {name_of(split)}"
