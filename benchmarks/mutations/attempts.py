"""One attempt: which input is changed, how, and which command is run on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

from benchmarks.mutations.folders import OUTSIDE, make_outside
from benchmarks.mutations.kinds import KINDS, Command, Mutator, commands_that_read

WORK = "work"
"""The folder that commands are run in; inputs are made there, since some hold absolute paths."""


@dataclass(frozen=True)
class Attempt:
    """What is done, all of it a function of the seed and the number."""

    seed: int
    number: int
    kind: str
    path: Path
    mutator: Mutator
    command: Command

    def mutate(self, folder: Path) -> str:
        """Change the copy of the inputs in a folder; return what was done."""
        chance = Random(f"{self.seed} {self.number} mutation")
        return self.mutator(chance, folder / WORK / self.path)


def plan(inputs: Path, seed: int, kinds: Collection[str] = tuple(KINDS)) -> Iterator[Attempt]:
    """Draw attempts for ever, the kinds in turns.

    Args:
        inputs: the folder with the valid inputs.
        seed: of everything that is drawn.
        kinds: attempts of other kinds are left out, and the rest keep their numbers; so are those
            of which there is no input.
    """
    names = list(KINDS)
    wanted = [name for name in kinds if any(any(inputs.glob(one)) for one in KINDS[name].files)]
    for number in count() if wanted else ():
        name = names[number % len(names)]
        if name in wanted:
            yield _draw(inputs, seed, number, name)


def _draw(inputs: Path, seed: int, number: int, name: str) -> Attempt:
    chance, kind = Random(f"{seed} {number} plan"), KINDS[name]
    while True:
        found = sorted(inputs.glob(chance.choice(kind.files)))
        if not found:
            continue
        path = chance.choice(found).relative_to(inputs)
        if commands := commands_that_read(kind, path, inputs):
            break
    return Attempt(seed, number, name, path, chance.choice(kind.mutators), chance.choice(commands))


def lay_out(inputs: Path, folder: Path) -> None:
    """Put a copy of the inputs into a folder, and beside it what nothing may change."""
    for part in (WORK, OUTSIDE, "home", "tmp"):
        remove(folder / part)
    shutil.copytree(inputs, folder / WORK, symlinks=True)
    make_outside(folder)
    for part in ("home", "tmp"):
        (folder / part).mkdir()


def remove(path: Path) -> None:
    """Delete a folder whatever its rights are."""
    if path.exists():
        for place, folders, _ in os.walk(path):
            for name in folders:
                if not (Path(place) / name).is_symlink():
                    (Path(place) / name).chmod(0o700)
        shutil.rmtree(path)
