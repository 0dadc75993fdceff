"""How far a build is, all its processes together."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from wsrl.zoos.leases import Leases
from wsrl.zoos.manifest import Manifest
from wsrl.zoos.progress import BuildProgress
from wsrl.zoos.records import PROGRESS, finished

_LOOK_SECONDS = 5.0  # others write no more often how far they are


class Overview:
    """Counts what is done by this process and, from the files they leave, by others.

    Args:
        folder: the zoo's.
        groups: members of every shard.
        steps: updates of a member.
        progress: where to show it.
    """

    def __init__(
        self, folder: Path, groups: Sequence[Sequence[int]], steps: int, progress: BuildProgress
    ) -> None:
        self._folder, self._sizes = folder, [len(group) for group in groups]
        self._steps, self._progress = steps, progress
        self._leases = Leases(folder / PROGRESS)
        self._made: dict[int, int] = {}
        self._looked = -math.inf

    def show(self, own: int | None = None, step: int = 0) -> None:
        """Show it; ``step`` updates are made of the shard that this process trains."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._made, self._looked = self._look(), now
        if own is not None:
            self._made[own] = step
        done = sum(self._sizes[index] * made for index, made in self._made.items())
        self._progress.show(done, sum(self._sizes[index] for index in self._made))

    def end(self) -> None:
        """Show how far it is in the end."""
        self._looked = -math.inf
        self.show()

    def _look(self) -> dict[int, int]:
        """Return the updates made by shard, of those that were begun."""
        done = finished(self._folder, Manifest.read(self._folder))
        rest = [index for index in range(len(self._sizes)) if index not in done]
        standings = self._leases.survey(f"{index:05d}" for index in rest)
        begun = {i: standings[f"{i:05d}"] for i in rest if standings[f"{i:05d}"].generation}
        return dict.fromkeys(done, self._steps) | {i: s.done for i, s in begun.items()}
