"""Run the trials of a grid, several at once; other commands may share them."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from wsrl._process import named_modules
from wsrl.minutes import Minutes
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.plan import PlannedTrial, Words
from wsrl.studies.benchmark.progress import Progress
from wsrl.studies.benchmark.results import RESULT, TRIALS, Result, read_result, write_result
from wsrl.studies.benchmark.work import LOG, Task, work
from wsrl.zoos.leases import Lease, Leases, Standing

LEASES = "leases"
_LOOK_SECONDS = 0.5  # at whether a trial ended, here or elsewhere
_END_SECONDS = 25.0  # for saving, before a cluster kills


@dataclass
class _Running:
    """A trial that runs: its process, its lease and its place."""

    planned: PlannedTrial
    process: ForkServerProcess
    lease: ExitStack
    place: int
    held: Lease


class GridRunner:
    """Runs trials until all are done, failed, or left out since they need one that failed.

    Any number of these may work on one folder, on any machines that share it: each takes the next
    trial that nobody has. A trial that failed, wherever it did, is tried again by the next command.

    Args:
        out: the benchmark's folder.
        trials: in the order in which they are taken; each after those that it needs.
        workers: trials that run at once here.
        devices: numbers of the GPUs to deal out; none for CPUs.
        threads: of every worker.
        command: runs a command by its words.
    """

    def __init__(
        self,
        out: Path,
        trials: Sequence[PlannedTrial],
        workers: int,
        devices: Sequence[str],
        threads: int,
        command: Callable[[Words], int],
    ) -> None:
        self.out, self.trials = out, trials
        self.workers, self.devices, self.threads = workers, devices, threads
        self.command = command
        self.progress = Progress([planned.trial for planned in trials], workers)
        self.pending = list(trials)
        self.running: list[_Running] = []
        self.failed_before: dict[str, int] = {}
        (out / LEASES).mkdir(parents=True, exist_ok=True)
        self.leases = Leases(out / LEASES)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["wsrl.studies.benchmark.preload"])

    def run(self, stop: StopRequests) -> dict[str, str]:
        """Run all; return why those that failed did, by name.

        Raises:
            KeyboardInterrupt, SystemExit: told to end; the trials that ran have saved their work.
        """
        for planned in self.trials:
            result = self._result(planned)
            if result is not None and result.error is not None:
                self.failed_before[planned.trial.name] = self._written(planned)
            elif result is not None:
                self._done_elsewhere(planned, result)
        minutes = Minutes()
        try:
            while self.pending or self.running:
                stop.raise_if_any()
                self._reap()
                if not self._start_next():
                    self._wait()
                if minutes.passed():
                    self.progress.show([running.planned.trial.name for running in self.running])
        except OSError:
            stop.raise_if_any()  # told to end together with the process that starts the trials
            raise
        finally:
            self._end()
        return self.progress.failed

    def _start_next(self) -> bool:
        """Start one trial, or drop one that cannot be run; return whether there was any."""
        if len(self.running) >= self.workers:
            return False
        standings = self._look_elsewhere()
        for planned in self.pending:
            failed = next((n for n in planned.needs if n in self.progress.failed), None)
            if failed is not None:
                self.pending.remove(planned)
                self.progress.leave_out(planned.trial.name, failed)
                return True
            if all(name in self.progress.seconds for name in planned.needs):
                name = _lease_of(planned)
                lease = self.leases.take(name, standings[name])
                if lease is not None:
                    self._start(planned, lease)
                    return True
        return False

    def _start(self, planned: PlannedTrial, lease: Lease) -> None:
        held = ExitStack()
        held.enter_context(lease)
        if self._ended_elsewhere(planned):  # just now
            held.close()
            return
        self.pending.remove(planned)
        taken = {running.place for running in self.running}
        place = next(i for i in range(self.workers) if i not in taken)
        device = self.devices[place % len(self.devices)] if self.devices else None
        process = self.context.Process(
            target=work,
            args=(
                Task(planned, self.out, self.threads, device, self.command, tuple(named_modules)),
            ),
        )
        try:
            process.start()
        except (EOFError, ConnectionError) as error:
            held.close()
            raise OSError("the process that starts the trials was ended: run it again") from error
        self.running.append(_Running(planned, process, held, place, lease))

    def _reap(self) -> None:
        """Record the trials that ended."""
        for running in [r for r in self.running if not r.process.is_alive()]:
            self.running.remove(running)
            running.process.join()
            name, status = running.planned.trial.name, running.process.exitcode
            result = self._result(running.planned)
            if status not in (0, 1) or result is None:
                log = self.out / TRIALS / name / LOG
                reason = f"its process {_how_it_ended(status)}; see {log}"
                if not running.held.lost:
                    write_result(log.parent, Result(running.planned.trial, error=reason))
                self.progress.fail(name, reason)
            elif result.error is not None:
                self.progress.fail(name, result.error)
            else:
                self.progress.done(name, result.wall_seconds)
            running.lease.close()

    def _wait(self) -> None:
        """Wait until a trial ends, here or elsewhere."""
        if self.running:
            wait([running.process.sentinel for running in self.running], _LOOK_SECONDS)
        elif self.pending:
            time.sleep(_LOOK_SECONDS)

    def _look_elsewhere(self) -> dict[str, Standing]:
        """Take note of what others have done; return how the leases on trials stand."""
        standings = self.leases.survey(_lease_of(planned) for planned in self.pending)
        for planned in [p for p in self.pending if standings[_lease_of(p)].generation > 0]:
            self._ended_elsewhere(planned)
        return standings

    def _ended_elsewhere(self, planned: PlannedTrial) -> bool:
        """Take note of how a trial ended that another ran; return whether it did."""
        result = self._result(planned)
        if result is None:
            return False
        if result.error is None:
            self._done_elsewhere(planned, result)
            return True
        name = planned.trial.name
        if self._written(planned) == self.failed_before.get(name):
            return False
        self.pending.remove(planned)
        self.progress.fail(name, result.error)
        return True

    def _done_elsewhere(self, planned: PlannedTrial, result: Result) -> None:
        self.pending.remove(planned)
        self.progress.know(planned.trial.name, result.wall_seconds)

    def _result(self, planned: PlannedTrial) -> Result | None:
        path = self._path(planned)
        return read_result(path) if path.is_file() else None

    def _written(self, planned: PlannedTrial) -> int:
        """Return when a trial's result was written, by the clock of its disk."""
        path = self._path(planned)
        return path.stat().st_mtime_ns if path.is_file() else 0

    def _path(self, planned: PlannedTrial) -> Path:
        return self.out / TRIALS / planned.trial.name / RESULT

    def _end(self) -> None:
        """Stop running trials, which save their work; kill those that take too long."""
        end = time.monotonic() + _END_SECONDS
        try:
            for running in self.running:
                running.process.terminate()
            for running in self.running:
                running.process.join(max(0.0, end - time.monotonic()))
        finally:  # also where a second interruption asks for no more patience
            for running in self.running:
                running.process.kill()
                running.process.join()
                running.lease.close()
            self.running = []


def _lease_of(planned: PlannedTrial) -> str:
    """Return the name of a trial's lease, which is a file in one folder."""
    return planned.trial.name.replace("/", "~")


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-status).name}{hint}"
    return f"ended with status {status}"
