"""The progress bar of a zoo build: members, RNN-steps a second, time left."""

from __future__ import annotations

from collections.abc import Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wsrl.minutes import Minutes


class BuildProgress:
    """Shows how far a build is: a bar in a terminal, elsewhere a line a minute.

    Args:
        members: RNNs of every shard.
        steps: updates of an RNN.
        made: by shard, the updates that were made before.
        quiet: show nothing.

    Attributes:
        bar: a context manager, as rich makes it.
    """

    def __init__(
        self, members: Sequence[int], steps: int, made: dict[int, int], quiet: bool
    ) -> None:
        self._members, self._made, self._total = members, made, sum(members) * steps
        self._quiet, self._minutes = quiet, Minutes()
        self.bar = Progress(
            TextColumn("members {task.fields[members]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[speed]} RNN-steps/s  left"),
            TimeRemainingColumn(),
            disable=quiet,
        )
        self._task = self.bar.add_task("build", total=self._total, members="", speed="-")

    def show(self, made: tuple[int, int]) -> None:
        """Show that of a shard ``(number, updates)`` so many updates are made."""
        shard, step = made
        self._made[shard] = step
        speed = self.bar.tasks[0].speed
        completed = sum(self._members[i] * n for i, n in self._made.items())
        members = f"{sum(self._members[i] for i in self._made)}/{sum(self._members)}"
        speed_text = f"{speed:,.0f}" if speed else "-"
        self.bar.update(self._task, completed=completed, members=members, speed=speed_text)
        console = self.bar.console
        if not console.is_terminal and not self._quiet and self._minutes.passed():
            share = f"{completed / self._total:.0%}" if self._total else "all"
            console.print(f"{share} built: {members} members")
