"""How far a benchmark is, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from wsrl.studies.benchmark.results import Cell
from wsrl.terminal import say


class Progress:
    """Says of every cell how it ended, and of the whole grid what is left.

    Args:
        cells: all cells of the grid.
        workers: cells that run at once here.
    """

    def __init__(self, cells: Iterable[Cell], workers: int) -> None:
        self.cells = {cell.name: cell for cell in cells}
        self.workers = workers
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def know(self, name: str, seconds: float) -> None:
        """Take note of a cell that is done."""
        self.seconds[name] = seconds

    def done(self, name: str, seconds: float) -> None:
        """Say that a cell is done."""
        self.know(name, seconds)
        self._say(name, f"done in {duration(seconds)}")

    def fail(self, name: str, reason: str) -> None:
        """Say that a cell failed."""
        self.failed[name] = reason
        self._say(name, f"FAILED: {reason}")

    def leave_out(self, name: str, needed: str) -> None:
        """Say that a cell cannot be run."""
        self.fail(name, f"left out, since {needed} failed")

    def time_left(self) -> float | None:
        """Return the seconds that the rest may take; ``None`` where nothing is known."""
        left = [c for n, c in self.cells.items() if n not in self.seconds and n not in self.failed]
        times = _times(self.cells, self.seconds)
        known = [self._guess(cell, times) for cell in left]
        guesses = [guess for guess in known if guess is not None]
        if left and not guesses:
            return None
        return mean(guesses) * len(left) / self.workers if left else 0.0

    def _guess(self, cell: Cell, times: Mapping[tuple[str, ...], list[float]]) -> float | None:
        """Return how long a cell takes by those done that are most like it."""
        return next((mean(times[key]) for key in _likenesses(cell) if key in times), None)

    def _say(self, name: str, text: str) -> None:
        through = len(self.seconds) + len(self.failed)
        left = self.time_left()
        rest = "" if left is None or through == len(self.cells) else f"; {duration(left)} left"
        width = len(str(len(self.cells)))
        say(f"[{through:{width}}/{len(self.cells)}] {name}: {text}{rest}")


def duration(seconds: float) -> str:
    """Write a duration in two units at most, as ``2h 05m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def _likenesses(cell: Cell) -> list[tuple[str, ...]]:
    """Return what a cell has in common with others, the most first."""
    mode = cell.mode or ""
    alike = [(cell.zoo, cell.kind, cell.encoder, mode), (cell.zoo, cell.kind, mode)]
    return [*alike, (cell.zoo, cell.kind), (cell.kind,)]


def _times(
    cells: Mapping[str, Cell], seconds: Mapping[str, float]
) -> dict[tuple[str, ...], list[float]]:
    times: dict[tuple[str, ...], list[float]] = {}
    for name, taken in seconds.items():
        for key in _likenesses(cells[name]):
            times.setdefault(key, []).append(taken)
    return times
