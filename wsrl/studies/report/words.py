"""How names and numbers are written in a report."""

import re
from html import escape
from typing import Any

import pandas as pd
from markupsafe import Markup

from wsrl.terminal import printable

_NAMES = {
    "angular_error": "angular error (degrees)",
    "kendall_tau": "Kendall τ",
    "mae": "MAE",
    "ood": "OOD",
    "part_accuracy": "accuracy per part",
    "r2": "R²",
    "reverse_kl": "reverse KL",
    "shuffled_reverse_kl": "shuffled reverse KL",
}
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}


def number(value: float) -> str:
    """Write a number with as many digits as can mean anything over a few seeds.

    >>> number(0.00123), number(42.123), number(12345.6)
    ('0.00123', '42.1', '12,346')
    """
    size = abs(value)
    if value != value:
        return "NaN"
    if size < 0.01 or size >= 1e7:
        return "0.000" if size < 1e-12 else f"{value:.3g}"  # rounding errors
    return f"{value:.3f}" if size < 10 else f"{value:,.1f}" if size < 1000 else f"{value:,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """Write an interval; empty where there is none.

    >>> interval(0.25, 0.75), interval(None, None)
    ('0.250 to 0.750', '')
    """
    return "" if pd.isna(low) or pd.isna(high) else f"{number(low)} to {number(high)}"


def name_of(name: str) -> str:
    """Return the name of a metric, target or split as people write it."""
    return _NAMES.get(name, name.replace("_", " "))


def head_of(metric: str, split: str, better: int) -> str:
    """Return the head of a column: the metric, which way is better, and the split.

    >>> head_of("total_variation", "ood", -1)
    'total variation ↓ OOD'
    """
    return f"{name_of(metric)}{_ARROWS[better]} {name_of(split)}"


def work_of(zoo: str, target: str, mode: str) -> str:
    """Say what was trained.

    >>> work_of("languages", "task", "frozen"), work_of("languages", "", "")
    ('languages: task, frozen', 'languages: emulation')
    """
    named = ", ".join(filter(None, (name_of(target), mode)))
    return f"{zoo}: {named or 'emulation'}"


def markdown_text(text: Any) -> str:
    r"""Return text that Markdown shows as it is, in one line.

    >>> markdown_text("a|b <c>")
    'a\\|b \\<c\\>'
    """
    return re.sub(r"([\\`*_{}\[\]<>|#&~$!])", r"\\\1", printable(" ".join(str(text).split())))


def markdown_line(text: Any) -> Markup:
    """Return the same as a line of its own, where a list or a heading could begin."""
    return Markup(re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", markdown_text(text)))


def chart_text(text: str) -> str:
    """Return text that a chart shows as it is: Plotly reads some HTML."""
    return escape(printable(text))
