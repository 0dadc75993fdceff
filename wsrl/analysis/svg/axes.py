"""Axes: from values to places, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from wsrl.analysis.svg.drawing import Drawing

_GRID = "stroke:var(--line);stroke-width:1"
_QUIET = "fill:var(--quiet)"


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a range of places.

    Attributes:
        low: the value at ``start``.
        high: the value at ``end``.
        start: a place.
        end: another.
        log: whether places go by the logarithm of the values, which are positive then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        log: bool = False,
        zero: bool = False,
    ) -> Axis:
        """Make an axis that has room for all finite values.

        Args:
            values: what is to be shown.
            start: place of the lowest.
            end: place of the highest.
            log: as of the class; only positive values are shown.
            zero: whether 0 is on it in any case.
        """
        found = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        found += [0.0] if zero else []
        low, high = (min(found), max(found)) if found else (1.0, 10.0) if log else (0.0, 1.0)
        if log:
            low, high = low / 1.25, high * 1.25
        else:
            room = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
            low = low if zero and low == 0 else low - room
            high = high if zero and high == 0 and low < 0 else high + room
        return cls(low, high, start, end, log)

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def shows(self, value: float) -> bool:
        """Whether a value has a place."""
        return math.isfinite(value) and self.low <= value <= self.high

    def ticks(self, count: int = 5) -> list[float]:
        """Return about so many round values on the axis."""
        if self.log:
            return self._log_ticks(count)
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.99)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _log_ticks(self, count: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
            ticks = [m * 10.0**p for p in powers for m in steps]
            ticks = [tick for tick in ticks if self.low <= tick <= self.high]
            if len(ticks) >= 3:
                break
        return ticks[:: max(1, round(len(ticks) / count))]


def draw_frame(drawing: Drawing, x: Axis, y: Axis, x_label: str, y_label: str) -> None:
    """Draw both axes with grid, ticks and labels; ``y`` may be without a label."""
    for tick in y.ticks():
        drawing.line(x.start, y(tick), x.end, y(tick), _GRID)
        drawing.text(x.start - 4, y(tick) + 4, tick_text(tick), "end", _QUIET)
    draw_x(drawing, x, y.end, y.start, x_label)
    drawing.upright(11, (y.start + y.end) / 2, y_label)


def draw_x(drawing: Drawing, x: Axis, top: float, bottom: float, label: str) -> None:
    """Draw the lower axis with its grid between two heights."""
    for tick in x.ticks(4):
        drawing.line(x(tick), top, x(tick), bottom, _GRID)
        drawing.text(x(tick), bottom + 13, tick_text(tick), "middle", _QUIET)
    drawing.text((x.start + x.end) / 2, bottom + 28, label, "middle")


def tick_text(value: float) -> str:
    """Write the value of a tick."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.4g}"
