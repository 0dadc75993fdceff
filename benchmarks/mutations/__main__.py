"""Search for faults at random: mutate inputs, run commands on them, and judge what they do.

    python -m benchmarks.mutations [--attempts 300] [--seed 0] [--out DIR] [--only KIND ...]
    python -m benchmarks.mutations --seed 0 --repeat 17 --out DIR

Small valid inputs are made first, by wsrl itself: zoos, runs, models, a table, configs, a
benchmark. Each attempt changes one of them and runs one command that reads it, in a process of its
own. Whatever the input, a command must end with status 0, 1 or 2, in at most 20 s more than with
the valid input (time in which it waits for a core does not count), take at most 4 GiB of memory,
print no traceback, no control characters and at most a few lines on stderr, change
nothing outside of the folders that it names, and accept no flipped weight.

The same seed gives the same attempts. Each finding keeps its input, command and output in
``DIR/findings``. The exit status is 1 where there are findings. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.mutations.attempts import WORK, Attempt, lay_out, plan
from benchmarks.mutations.inputs import clean_environment, make_inputs
from benchmarks.mutations.judging import (
    MORE_SECONDS,
    STATUSES,
    judge,
    leftovers,
    pages_with_markup,
    state_of,
)
from benchmarks.mutations.kinds import KINDS, Command
from benchmarks.mutations.processes import Outcome, preload, run_command

FIRST = 120.0
"""Seconds that a command may take on the valid input."""


class Search:
    """A folder with valid inputs, in which attempts are made.

    Args:
        folder: holds all that is made; valid inputs that it has already are used again.
        fresh: run every command in a new interpreter rather than a forked one.
    """

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.folder, self.fresh = folder.resolve(), fresh
        self.inputs = self.folder / "inputs"
        self.environment = clean_environment(self.folder)
        self.usual: dict[Command, Outcome] = {}
        if not self.inputs.is_dir():
            for part in ("home", "tmp"):
                (self.folder / part).mkdir(parents=True)
            (self.folder / "cache").mkdir(mode=0o700)
            make_inputs(self.folder / WORK, self.environment)
            (self.folder / WORK).rename(self.inputs)
        if not fresh:
            preload()

    def usually(self, command: Command) -> Outcome:
        """Run a command on the valid inputs, once.

        Raises:
            RuntimeError: where it fails there, or breaks a rule.
        """
        if command not in self.usual:
            lay_out(self.inputs, self.folder)
            before = self._state(command)
            outcome = self._run(command, FIRST)
            broken = judge(None, outcome, None, before, self._state(command))
            if outcome.status != 0 or broken:
                raise RuntimeError(f"wsrl {command.words}: {broken}\n{outcome.stderr[-3000:]}")
            self.usual[command] = outcome
        return self.usual[command]

    def make(self, attempt: Attempt) -> tuple[Outcome, str, list[str]]:
        """Make an attempt; return what the command did, what was changed, and what is wrong."""
        usual = self.usually(attempt.command)
        lay_out(self.inputs, self.folder)
        changed = attempt.mutate(self.folder)
        before, old = self._state(attempt.command), leftovers(self.folder)
        seconds = usual.seconds + MORE_SECONDS
        outcome = self._run(attempt.command, seconds)
        found = judge(attempt, outcome, usual, before, self._state(attempt.command))
        found += pages_with_markup(self.folder, attempt)
        if not outcome.ended and (left := leftovers(self.folder) - old):
            found.append(f"left behind: {', '.join(sorted(left))}")
        return outcome, changed, found

    def keep(self, attempt: Attempt, outcome: Outcome, changed: str, found: list[str]) -> Path:
        """Keep a finding: its input as it was, the command, and what came of it."""
        place = self.folder / "findings" / f"{attempt.seed}-{attempt.number}"
        lay_out(self.inputs, place)
        attempt.mutate(place)
        about = {
            "kind": attempt.kind,
            "path": str(attempt.path),
            "changed": changed,
            "command": f"wsrl {attempt.command.words}",
            "findings": found,
            "status": outcome.status,
            "seconds": round(outcome.seconds, 1),
            "memory": outcome.memory,
        }
        (place / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        (place / "stdout.txt").write_text(outcome.stdout, errors="backslashreplace")
        (place / "stderr.txt").write_text(outcome.stderr, errors="backslashreplace")
        return place

    def _run(self, command: Command, seconds: float) -> Outcome:
        words = shlex.split(command.words)
        return run_command(words, self.folder / WORK, self.environment, seconds, self.fresh)

    def _state(self, command: Command) -> dict[str, tuple[int, ...]]:
        return state_of(self.folder, command.writes)


def report(tallies: dict[str, Counter[str]]) -> None:
    print("\n| kind | attempts | refused | accepted | findings |")
    print("|---|---|---|---|---|")
    for name, tally in [*tallies.items(), ("all", sum(tallies.values(), Counter()))]:
        counts = [tally[column] for column in ("attempts", "refused", "accepted", "findings")]
        print(f"| {name} | {' | '.join(map(str, counts))} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep inputs and findings in this folder")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--repeat", type=int, help="make the attempt of this number alone")
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for every command")
    parser.add_argument("--verbose", action="store_true", help="print every attempt")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # threads that are there cannot be forked
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    folder = options.out or Path(tempfile.mkdtemp(prefix="wsrl-mutations-"))
    search = Search(folder, options.fresh)
    attempts = plan(search.inputs, options.seed, options.only)
    if options.repeat is None:
        chosen = itertools.islice(attempts, options.attempts)
    else:
        until = itertools.takewhile(lambda one: one.number <= options.repeat, attempts)
        chosen = (one for one in until if one.number == options.repeat)
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    for attempt in chosen:
        outcome, changed, found = search.make(attempt)
        said = "findings" if found else STATUSES[outcome.status]
        tallies[attempt.kind].update(("attempts", said))
        if found or options.verbose or options.repeat is not None:
            print(f"{attempt.seed}-{attempt.number} {attempt.kind}: {attempt.path}: {changed}")
            print(f"  wsrl {attempt.command.words}: {'; '.join(found) or said}", flush=True)
        if options.repeat is not None:
            print(outcome.stdout, outcome.stderr)
        if found:
            print(f"  kept in {search.keep(attempt, outcome, changed, found)}", flush=True)
    report(tallies)
    return int(any(tally["findings"] for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
