"""The rules that every command must keep, whatever its input is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from benchmarks.mutations.attempts import WORK, Attempt
from benchmarks.mutations.folders import OUTSIDE
from benchmarks.mutations.kinds import KINDS
from benchmarks.mutations.processes import MOST_MEMORY, Outcome
from benchmarks.mutations.trees import MARKUP

MORE_SECONDS = 20
"""Seconds that a command may take beyond those it takes on the valid input."""

MORE_LINES = 5
"""Lines on stderr beyond those that it has with the valid input."""

LONG = 2000
"""Characters that a line of stderr may have."""

STATUSES = {0: "accepted", 1: "refused", 2: "refused"}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")

State = dict[str, tuple[int, ...]]
"""By path: what changes when a file, its rights or its content do."""


def state_of(folder: Path, writes: str) -> State:
    """Return the state of all that a command must not change.

    Args:
        folder: what attempts are laid out in.
        writes: the files and folders in the working folder that the command may change.
    """
    free = {folder / WORK / name for name in writes.split()} | {folder / "tmp", folder / "cache"}
    above = {folder / WORK, folder}
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in free]
        for path in (Path(place), *(Path(place, name) for name in (*folders, *files))):
            if path not in free and path not in above:
                one = path.lstat()
                times = (one.st_mtime_ns, one.st_ctime_ns)
                found[str(path.relative_to(folder))] = (
                    one.st_ino,
                    one.st_mode,
                    one.st_size,
                    *times,
                )
    return found


def judge(
    attempt: Attempt | None, outcome: Outcome, usual: Outcome | None, before: State, after: State
) -> list[str]:
    """Return which rules were broken.

    Args:
        attempt: what was done; ``None`` for a command on the valid inputs.
        outcome: what the command did.
        usual: what it does with the valid inputs; ``None`` where that is what is judged.
        before: the state of all that it must not change.
        after: the same when it had ended.
    """
    found = []
    if "Traceback (most recent call last)" in outcome.stdout + outcome.stderr:
        last = [line for line in outcome.stderr.splitlines() if line[:1].isalpha()][-1:]
        found.append(f"traceback ({(last or ['?'])[0][:100]})")
    if outcome.ended:
        found.append(outcome.ended)
    elif outcome.signal:
        found.append(f"ended by {outcome.signal}")
    elif outcome.status not in STATUSES:
        found.append(f"status {outcome.status}")
    if outcome.memory > MOST_MEMORY:
        found.append(f"{outcome.memory / 2**30:.1f} GiB of memory")
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if changed:
        found.append(f"changed: {', '.join(sorted(changed)[:3])}")
    if outcome.status == 0 and attempt and KINDS[attempt.kind].must_be_refused:
        found.append("accepted without a word")
    return found + _of_words(outcome, usual)


def _of_words(outcome: Outcome, usual: Outcome | None) -> list[str]:
    found, lines = [], outcome.stderr.splitlines()
    most = MORE_LINES + (len(usual.stderr.splitlines()) if usual else 20)
    if len(lines) > most:
        found.append(f"{len(lines)} lines on stderr")
    if lines and max(map(len, lines)) > LONG:
        found.append(f"a line of {max(map(len, lines))} characters")
    if CONTROL.search(outcome.stdout + outcome.stderr):
        found.append("control characters are printed")
    if outcome.status in (1, 2) and not outcome.stderr.strip():
        found.append("refused without a word")
    return found


def pages_with_markup(folder: Path, attempt: Attempt) -> list[str]:
    """Find pages that say as markup what a file said as text."""
    return [
        f"markup in {path.relative_to(folder)}"
        for name in attempt.command.writes.split()
        for path in (folder / WORK / name).glob("*.html")
        if path.is_file() and MARKUP in path.read_text(errors="replace")
    ]


def leftovers(folder: Path) -> set[str]:
    """Return files that are being written, or were when their writer ended."""
    return {
        str(Path(place, name).relative_to(folder))
        for place, _, files in os.walk(folder)
        if OUTSIDE not in Path(place).parts
        for name in files
        if name.endswith(".partial")
    }
