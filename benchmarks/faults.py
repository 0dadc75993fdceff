"""Kill builds and training runs at random moments, go on, and compare with what was never killed.

    python benchmarks/faults.py [--faults 20] [--seed 0] [--out DIR]

For a zoo build and a pre-training, on 1 and on 2 processes, with SIGKILL and SIGTERM: a process
(of two: one of them, or both) is told to end at a random moment between the first step and the
end, a third of the times while it is writing a file; then the same command is run again, until it
ends by itself. A zoo must then verify and be, byte for byte, the one that was never interrupted; a
training run must have logged the same values at the same steps, and end with the same weights.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wsrl.zoos import verify_zoo
from wsrl.zoos.files import PARTIAL, checksum

LANGUAGES = (
    "--problem formal_languages --num_tokens 3 --length 12 --max_n 3 --min_difference -1 "
    "--max_difference 1 --evaluated_strings 200 --stored_strings 8 --hidden_size 8"
)
BUILD = f"{LANGUAGES} --runs 24 --group_size 4 --snapshots [0,100,200,300]"
FIT = (
    "--model EmulationModule --model.encoder NoninteractiveProbing --model.encoder.probe_width 16 "
    "--model.encoder.reader_width 16 --model.emulator_width 16 --model.emulator_layers 1 "
    "--model.clone_rnns 4 --model.clone_sequences 4 --model.figures false "
    "--data.batch_size 16 --data.steps_per_epoch 40 --trainer.max_steps 240 "
    "--trainer.log_every_n_steps 1 --trainer.accelerator cpu"
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
PATIENCE = 180.0
"""Seconds after which a process that has not ended is a failure."""


@dataclass(frozen=True)
class Job:
    """A command that can be run again and again until its work is done."""

    name: str
    processes: int
    zoo: Path | None = None

    def command(self, folder: Path) -> list[str]:
        start = [sys.executable, "-m", "wsrl.cli"]
        if self.zoo is None:
            words = f"zoo build {BUILD} --device cpu --checkpoint_seconds 0.3 --out {folder}"
            return [*start, *words.split(), "--workers", str(self.processes)]
        words = f"fit {FIT} --data.zoo {self.zoo} --run {folder} --ckpt_path auto"
        words += f" --checkpoint_minutes 0.01 --trainer.devices {self.processes}"
        return [
            *start,
            *words.split(),
            "--trainer.strategy",
            "ddp" if self.processes > 1 else "auto",
        ]

    def has_begun(self, folder: Path, since: float) -> bool:
        """Whether steps are being made by a process that started at a time."""
        made = "progress/*.*" if self.zoo is None else "logs/events*"
        return any(times > since for times in map(_changed, folder.glob(made)))

    def files_being_written(self, folder: Path) -> bool:
        parts = ("", "shards", "progress") if self.zoo is None else ("checkpoints",)
        return any(
            name.endswith(PARTIAL)
            for part in parts
            if (folder / part).is_dir()
            for name in os.listdir(folder / part)
        )

    def result(self, folder: Path) -> Result:
        """Read what was made."""
        if self.zoo is None:
            verify_zoo(folder)
            return Result({file.name: checksum(file) for file in (folder / "shards").iterdir()})
        accumulator = EventAccumulator(str(folder / "logs"), size_guidance={"scalars": 0}).Reload()
        values = {
            f"{tag} {index}": (event.step, event.value)
            for tag in accumulator.Tags()["scalars"]
            for index, event in enumerate(accumulator.Scalars(tag))
        }
        checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        values |= {name: value.tolist() for name, value in checkpoint["state_dict"].items()}
        return Result(values)


@dataclass(frozen=True)
class Result:
    """Everything that must not depend on interruptions, by name."""

    values: dict[str, object]

    def lost(self, other: Result) -> int:
        return len(self.values.keys() - other.values.keys())

    def different(self, other: Result) -> int:
        """Count what differs, what is there too much included."""
        shared = self.values.keys() & other.values.keys()
        return sum(self.values[name] != other.values[name] for name in shared) + other.lost(self)


@dataclass
class Tally:
    """What came of the faults of one kind."""

    faults: int = 0
    inside_writes: int = 0
    recovered: int = 0
    lost: int = 0
    different: int = 0
    slowest_end: float = 0.0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        self.problems.append(problem)
        print(problem, file=sys.stderr)


class Running:
    """A command with all its processes."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.log = folder.with_name(folder.name + ".log")
        self.started = time.time()
        with self.log.open("a") as log:
            self.main = subprocess.Popen(
                job.command(folder),
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def processes(self) -> list[int]:
        """Return the processes that still run, the main one first."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, _, session = (
                        (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                    )
                except OSError:  # ended meanwhile
                    continue
                if int(session) == self.main.pid and state not in "ZX":
                    found.append(int(entry.name))
        return sorted(found, key=lambda pid: (pid != self.main.pid, pid))

    def wait_until_begun(self) -> bool:
        """Wait until steps are made; return False where it ended before."""
        limit = time.monotonic() + PATIENCE
        while not self.job.has_begun(self.folder, self.started):
            if self.main.poll() is not None or time.monotonic() > limit:
                return False
            time.sleep(0.01)
        return True

    def wait_for_write(self, seconds: float) -> bool:
        """Wait until a file is being written; return whether one is."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self.main.poll() is None:
            if self.job.files_being_written(self.folder):
                return True
            time.sleep(0.0003)
        return False

    def strike(self, number: signal.Signals, chance: random.Random) -> None:
        """Send a signal to one of the processes, or to all."""
        alive = self.processes()
        victims = alive if chance.random() < 0.4 else [chance.choice(alive)] if alive else []
        for pid in victims:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def wait(self) -> float:
        """Wait until every process ended, by force if need be; return how long it took."""
        start = time.monotonic()
        while self.main.poll() is None or self.processes():
            if time.monotonic() - start > PATIENCE:
                for pid in self.processes():
                    os.kill(pid, signal.SIGKILL)
                self.main.wait()
                break
            time.sleep(0.02)
        return time.monotonic() - start


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # tidied up meanwhile
        return 0.0


def reference(job: Job, folder: Path) -> tuple[Result, float]:
    """Run a job without a fault; return what it makes and the seconds its steps take."""
    running = Running(job, folder)
    if not running.wait_until_begun():
        raise RuntimeError(f"{job.name} did not begin:\n{running.log.read_text()}")
    seconds = running.wait()
    if running.main.returncode:
        raise RuntimeError(f"{job.name} failed:\n{running.log.read_text()}")
    return job.result(folder), seconds


def survive(
    job: Job,
    number: signal.Signals,
    faults: int,
    folder: Path,
    whole: Result,
    seconds: float,
    seed: int,
) -> Tally:
    """Inject so many faults of one kind and compare what comes out.

    Args:
        job: what is run.
        number: the signal.
        faults: how many.
        folder: where; the zoos or runs get folders of their own there.
        whole: what comes out without faults.
        seconds: how long the steps take without faults.
        seed: of the moments.
    """
    chance, tally, attempt = random.Random(f"{seed} {job} {number}"), Tally(), 0
    while tally.faults < faults:
        place = folder / f"{job.name[-5:].strip()}{job.processes}-{number.name}-{attempt}"
        attempt += 1
        pending = 0  # faults in this folder, not known to be recovered from
        while tally.faults < faults and _strike_once(job, number, place, seconds, chance, tally):
            pending += 1
        last = Running(job, place)
        last.wait()
        if last.main.returncode:
            tally.note(f"{place} does not go on:\n{last.log.read_text()[-3000:]}")
            continue
        found = job.result(place)
        lost, different = whole.lost(found), whole.different(found)
        tally.lost, tally.different = tally.lost + lost, tally.different + different
        tally.recovered += pending if lost == different == 0 else 0
        if lost or different:
            tally.note(
                f"{place} is not what it was without faults: {lost} lost, {different} differ"
            )
    return tally


def _strike_once(
    job: Job,
    number: signal.Signals,
    place: Path,
    seconds: float,
    chance: random.Random,
    tally: Tally,
) -> bool:
    """Run until a fault; return False where the job ended before."""
    running = Running(job, place)
    if running.wait_until_begun():
        inside = 3 * tally.inside_writes <= tally.faults
        limit = time.monotonic() + chance.uniform(0, seconds / 2)
        while time.monotonic() < limit and running.main.poll() is None:
            time.sleep(0.001)
        inside = inside and running.wait_for_write(seconds)
        struck = running.main.poll() is None
        running.strike(number, chance)
    else:
        inside = struck = False
    took = running.wait()
    status = running.main.returncode
    if number == signal.SIGTERM and status == -number:
        struck = False  # before its first step, or after its last
    tally.faults += struck
    tally.inside_writes += inside and struck
    if struck and number == signal.SIGTERM:
        tally.slowest_end = max(tally.slowest_end, took)
        if status not in (0, 128 + number):
            tally.note(f"{place} ended with {status}:\n{running.log.read_text()[-3000:]}")
    elif not struck and status not in (0, -number):
        tally.note(f"{place} failed by itself with {status}:\n{running.log.read_text()[-3000:]}")
    if took > PATIENCE:
        tally.note(f"{place} did not end:\n{running.log.read_text()[-3000:]}")
    return struck


def references(folder: Path) -> dict[Job, tuple[Result, float]]:
    """Run every job without a fault; return what each makes and the seconds its steps take."""
    build = Job("zoo build", 1)
    found = {build: reference(build, folder / "zoo")}
    # What is built does not depend on the number of processes; what is learned does, in the order
    # in which gradients are added.
    for job in (Job("zoo build", 2), Job("fit", 1, folder / "zoo"), Job("fit", 2, folder / "zoo")):
        found[job] = reference(job, folder / f"{job.name[-5:].strip()}{job.processes}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=20, help="of each of the eight kinds")
    jobs = ["zoo build", "fit"]
    parser.add_argument("--jobs", nargs="+", default=jobs, choices=jobs, help="which of the two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep all zoos and runs in this folder")
    options = parser.parse_args()
    sound = True
    print("| job | processes | signal | faults | in a write | recovered | lost | different | end |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        for job, (whole, seconds) in references(folder).items():
            for number in SIGNALS if job.name in options.jobs else ():
                tally = survive(job, number, options.faults, folder, whole, seconds, options.seed)
                print(row(job, number, tally), flush=True)
                sound &= not tally.problems and tally.recovered == tally.faults
    if not sound:
        sys.exit("not everything was recovered")


def row(job: Job, number: signal.Signals, tally: Tally) -> str:
    end = f"{tally.slowest_end:.1f} s" if number == signal.SIGTERM else ""
    kind = f"| {job.name} | {job.processes} | {number.name} | {tally.faults} |"
    outcome = f"{tally.recovered} | {tally.lost} | {tally.different} | {end} |"
    return f"{kind} {tally.inside_writes} | {outcome}"


if __name__ == "__main__":
    main()
