"""How far jobs are: a line for each kind of job, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from wsrl.jobs.report import listening
from wsrl.minutes import Minutes


class JobProgress:
    """Shows how far jobs are: a bar for each kind in a terminal, elsewhere a line a minute.

    The rest of a kind is taken to go as fast as what was done of it since it began.

    Args:
        jobs: kind and size of each, by name.
        done: names of those that were done before.
        quiet: show nothing.
    """

    def __init__(
        self, jobs: Mapping[str, tuple[str, float]], done: Iterable[str], quiet: bool
    ) -> None:
        self._jobs, self._quiet, self._minutes = jobs, quiet, Minutes()
        self._shares = dict.fromkeys(done, 1.0)
        self._begun: dict[str, tuple[float, float]] = {}  # by kind, when, and what was done before
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            disable=quiet,
        )
        self._lines: dict[str, TaskID] = {}
        for kind, _ in jobs.values():
            if kind not in self._lines:
                self._lines[kind] = self._bars.add_task(kind, total=1.0, said="")
                self._show(kind)
        self._begun.clear()  # with its first report a kind begins
        self._listening = listening(self._hear)

    def __enter__(self) -> JobProgress:
        self._bars.start()
        self._listening.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.__exit__(None, None, None)
        self._bars.stop()

    def end(self, name: str) -> None:
        """Note that a job has ended."""
        self._note(name, 1.0)

    def _hear(self, told: tuple[str, float]) -> None:
        name, share = told
        if name in self._jobs and self._shares.get(name, 0.0) < share:
            self._note(name, share)

    def _note(self, name: str, share: float) -> None:
        self._shares[name] = share
        kind = self._jobs[name][0]
        said = self._show(kind)
        if not self._bars.console.is_terminal and not self._quiet and self._minutes.passed():
            self._bars.console.print(f"{kind}: {said}")

    def _show(self, kind: str) -> str:
        alike = {job: size for job, (other, size) in self._jobs.items() if other == kind}
        through = sum(self._shares.get(job, 0.0) >= 1.0 for job in alike)
        made = sum(size * self._shares.get(job, 0.0) for job, size in alike.items())
        total = sum(alike.values())
        said = f"{through}/{len(alike)}, {made / total:.0%}"
        begun, before = self._begun.setdefault(kind, (time.monotonic(), made))
        if made > before:
            seconds = (time.monotonic() - begun) / (made - before) * (total - made)
            said += f", {timedelta(seconds=round(seconds))} left"
        self._bars.update(self._lines[kind], completed=made / total, said=said)
        return said
