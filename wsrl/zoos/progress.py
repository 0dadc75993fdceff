"""The progress bar of a zoo build: members, RNN-steps a second, time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wsrl.minutes import Minutes


class BuildProgress:
    """Shows how far a build is: a bar in a terminal, elsewhere a line a minute.

    Args:
        members: RNNs of every shard.
        steps: updates of an RNN.
        quiet: show nothing.
    """

    def __init__(self, members: Sequence[int], steps: int, quiet: bool) -> None:
        self._members, self._steps = members, steps
        self._made: dict[int, int] = {}
        self._quiet, self._minutes = quiet, Minutes()
        self._progress = Progress(
            TextColumn("members {task.fields[members]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[speed]} RNN-steps/s  left"),
            TimeRemainingColumn(),
            disable=quiet,
        )
        total = sum(members) * steps
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
        self._progress.stop()

    def skip(self, shards: Iterable[int]) -> None:
        """Take note of shards that are finished already."""
        self._made |= dict.fromkeys(shards, self._steps)

    def show(self, made: tuple[int, int]) -> None:
        """Show that of a shard ``(number, updates)`` so many updates are made."""
        shard, step = made
        self._made[shard] = step
        speed = self._progress.tasks[0].speed
        completed = sum(self._members[i] * n for i, n in self._made.items())
        members = f"{sum(self._members[i] for i in self._made)}/{sum(self._members)}"
        self._progress.update(
            self._task,
            completed=completed,
            members=members,
            speed=f"{speed:,.0f}" if speed else "-",
        )
        console = self._progress.console
        if not console.is_terminal and not self._quiet and self._minutes.passed():
            total = sum(self._members) * self._steps
            share = f"{completed / total:.0%}" if total else "all"
            console.print(f"{share} built: {members} members")
