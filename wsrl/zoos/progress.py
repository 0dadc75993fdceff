"""The progress bar of a zoo build: members, RNN-steps a second, time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wsrl.minutes import Minutes


class BuildProgress:
    """Shows how far a build is: a bar in a terminal, elsewhere a line a minute.

    Args:
        total: RNN-steps of the whole zoo.
        members: members of the whole zoo.
        quiet: show nothing.
    """

    def __init__(self, total: int, members: int, quiet: bool) -> None:
        self._total, self._members = total, members
        self._done, self._started, self._shown = 0, 0, 0.0
        self._quiet, self._minutes = quiet, Minutes()
        self._progress = Progress(
            TextColumn("members {task.fields[members]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[speed]} RNN-steps/s  left"),
            TimeRemainingColumn(),
            disable=quiet,
        )
        self._task = self._progress.add_task("build", total=total, members="", speed="-")

    def __enter__(self) -> BuildProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()
        self._progress.stop()

    def show(self, done: int, members: int) -> None:
        """Show that ``done`` RNN-steps are made, of ``members`` members so far."""
        self._done, self._started = done, members
        if time.monotonic() - self._shown > 0.5:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            completed=self._done,
            members=f"{self._started}/{self._members}",
            speed=f"{speed:,.0f}" if speed else "-",
        )
        console = self._progress.console
        if not console.is_terminal and not self._quiet and self._minutes.passed():
            share = f"{self._done / self._total:.0%}" if self._total else "all"
            console.print(f"{share} built: {self._started} of {self._members} members")
