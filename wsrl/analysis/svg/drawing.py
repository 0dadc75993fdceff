"""Elements of a drawing, and the drawing itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from wsrl.terminal import printable

CATEGORIES = 8
"""Colours that tell categories apart; further ones repeat them with another mark."""

DASHES = ("", "5 3", "1.5 2.5")
_TEXT = 5.9  # mean width of a character of 11 px, in px


class Drawing:
    """An SVG drawing that grows downwards as elements are added.

    Args:
        width: in units that are pixels where the page shows it at its own size.
        height: likewise.
        title: what it shows, for who cannot see it.
        description: more of that.
    """

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        self.width, self.height = width, height
        self._head = f"<title>{_text(title)}</title>"
        if description:
            self._head += f"<desc>{_text(description)}</desc>"
        self._parts: list[str] = []

    def add(self, element: str) -> None:
        """Add an element, which is SVG already."""
        self._parts.append(element)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """Draw a line."""
        ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
        self.add(f'<line {ends} style="{style}"/>')

    def rect(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """Draw a rectangle."""
        size = f'width="{_n(width)}" height="{_n(height)}"'
        self.add(f'<rect x="{_n(x)}" y="{_n(y)}" {size} style="{style}"/>')

    def text(self, x: float, y: float, words: str, anchor: str = "start", style: str = "") -> None:
        """Write text; ``anchor`` says which end of it is at ``x``."""
        look = f' style="{style}"' if style else ""
        place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"'
        self.add(f"<text {place}{look}>{_text(words)}</text>")

    def upright(self, x: float, y: float, words: str) -> None:
        """Write text from below to above, its middle at ``(x, y)``."""
        turn = f'transform="translate({_n(x)} {_n(y)}) rotate(-90)"'
        self.add(f'<text {turn} text-anchor="middle">{_text(words)}</text>')

    def dots(self, points: Sequence[tuple[float, float]], colour: str, size: float) -> None:
        """Draw points ``(x, y)`` as one path of lines without length, which are short to write."""
        if points:
            path = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in points)
            look = f"fill:none;stroke:{colour};stroke-width:{_n(size)};stroke-linecap:round"
            self.add(f'<path d="{path}" style="{look}"/>')

    def path(self, points: Sequence[tuple[float, float]], colour: str, dash: str = "") -> None:
        """Draw a line through points."""
        if points:
            through = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
            look = f"fill:none;stroke:{colour};stroke-width:1.6;stroke-linejoin:round"
            look += f";stroke-dasharray:{dash}" if dash else ""
            self.add(f'<path d="M{through}" style="{look}"/>')

    def legend(self, x: float, y: float, names: Sequence[str], marks: Sequence[str]) -> float:
        """Write names beside their marks, in as many columns as fit.

        Args:
            x: where it begins.
            y: the top.
            names: what the marks stand for.
            marks: for each an element that is drawn about ``(0, 0)``, 16 wide.

        Returns:
            The height it takes.
        """
        widest = 26 + max((text_width(name) for name in names), default=0)
        columns = max(1, int((self.width - x) // widest))
        for index, (name, mark) in enumerate(zip(names, marks, strict=True)):
            row, column = divmod(index, columns)
            left, middle = x + column * widest, y + 15 * row + 8
            self.add(f'<g transform="translate({_n(left + 8)} {_n(middle)})">{mark}</g>')
            self.text(left + 20, middle + 4, name)
        return 15.0 * -(-len(names) // columns)

    def render(self) -> str:
        """Return the drawing as SVG."""
        box = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}"'
        return f'<svg {box} role="img">{self._head}{"".join(self._parts)}</svg>'


def category(index: int) -> str:
    """Return the colour of a category."""
    return f"var(--c{index % CATEGORIES})"


def dash_of(index: int) -> str:
    """Return the dashes of a category's line."""
    return DASHES[index // CATEGORIES % len(DASHES)]


def shortened(name: str, width: float) -> str:
    """Return a name that is no wider than so many units."""
    letters = max(4, int(width / _TEXT))
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def text_width(words: str) -> float:
    """Return about how wide a text is."""
    return _TEXT * len(words)


def _text(words: str) -> str:
    """Return text as SVG that shows it as it is."""
    return escape(printable(words))


def _n(value: float) -> str:
    """Write a coordinate, as short as it may be."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
