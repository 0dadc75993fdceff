"""Run the cells of a grid, several at once, and share them with whoever else is at it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.plan import PlannedCell
from wsrl.studies.benchmark.progress import Progress
from wsrl.studies.benchmark.record import finished
from wsrl.studies.benchmark.results import CELLS, RESULT, Result, read_result, write_result
from wsrl.studies.benchmark.work import LOG, Task, work
from wsrl.zoos.leases import Lease, Leases

LEASES = "leases"
_LOOK_SECONDS = 0.5  # at whether somebody ended
_ELSEWHERE_SECONDS = 5.0  # at what others have done
_END_SECONDS = 25.0  # for saving, before a cluster kills


@dataclass
class _Running:
    """A cell that runs: its process, its lease and its place."""

    planned: PlannedCell
    process: ForkServerProcess
    lease: ExitStack
    place: int
    held: Lease


class GridRunner:
    """Runs cells until all are done, failed, or left out since they need one that failed.

    Any number of these may work on one folder, on any machines that share it: each takes the next
    cell that nobody has. A cell that failed is tried again by the next command.

    Args:
        out: the benchmark's folder.
        cells: in the order in which they are taken; each after those that it needs.
        workers: cells that run at once here.
        devices: numbers of the GPUs to deal out; none for CPUs.
        threads: of every worker.
    """

    def __init__(
        self,
        out: Path,
        cells: Sequence[PlannedCell],
        workers: int,
        devices: Sequence[str],
        threads: int,
    ) -> None:
        self.out, self.cells = out, cells
        self.workers, self.devices, self.threads = workers, devices, threads
        self.progress = Progress([planned.cell for planned in cells], workers)
        self.pending = list(cells)
        self.running: list[_Running] = []
        self.elsewhere = 0.0
        (out / LEASES).mkdir(parents=True, exist_ok=True)
        self.leases = Leases(out / LEASES)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["wsrl.studies.benchmark.preload"])

    def run(self, stop: StopRequests) -> dict[str, str]:
        """Run all; return why those that failed did, by name.

        Raises:
            KeyboardInterrupt, SystemExit: told to end; the cells that ran have saved their work.
        """
        for name, result in finished(self.out, self.cells).items():
            self.progress.know(name, result.wall_seconds)
        self._drop_done()
        try:
            while self.pending or self.running:
                stop.raise_if_any()
                self._reap()
                if not self._start_next():
                    self._wait()
        finally:
            self._end()
        return self.progress.failed

    def _start_next(self) -> bool:
        """Start one cell, or drop one that cannot be run; return whether there was any."""
        if len(self.running) >= self.workers:
            return False
        if time.monotonic() >= self.elsewhere:
            self._look_elsewhere()
        for planned in self.pending:
            failed = next((n for n in planned.needs if n in self.progress.failed), None)
            if failed is not None:
                self.pending.remove(planned)
                self.progress.leave_out(planned.cell.name, failed)
                return True
            if all(name in self.progress.seconds for name in planned.needs):
                lease = self._take(planned)
                if lease is not None:
                    self._start(planned, lease)
                    return True
        return False

    def _take(self, planned: PlannedCell) -> Lease | None:
        name = planned.cell.name.replace("/", "~")
        return self.leases.take(name, self.leases.survey([name])[name])

    def _start(self, planned: PlannedCell, lease: Lease) -> None:
        self.pending.remove(planned)
        held = ExitStack()
        held.enter_context(lease)
        result = self._result(planned)
        if result is not None and result.error is None:  # of another, just now
            held.close()
            self.progress.know(planned.cell.name, result.wall_seconds)
            return
        taken = {running.place for running in self.running}
        place = next(i for i in range(self.workers) if i not in taken)
        device = self.devices[place % len(self.devices)] if self.devices else None
        process = self.context.Process(
            target=work, args=(Task(planned, self.out, self.threads, device),)
        )
        process.start()
        self.running.append(_Running(planned, process, held, place, lease))

    def _reap(self) -> None:
        """Take note of the cells that ended."""
        for running in [r for r in self.running if not r.process.is_alive()]:
            self.running.remove(running)
            running.process.join()
            name, status = running.planned.cell.name, running.process.exitcode
            result = self._result(running.planned)
            if status not in (0, 1) or result is None:
                log = self.out / CELLS / name / LOG
                reason = f"its process {_how_it_ended(status)}; see {log}"
                if not running.held.lost:
                    write_result(log.parent, Result(running.planned.cell, error=reason))
                self.progress.fail(name, reason)
            elif result.error is not None:
                self.progress.fail(name, result.error)
            else:
                self.progress.done(name, result.wall_seconds)
            running.lease.close()

    def _wait(self) -> None:
        """Wait until a cell ends here; where none runs, for others."""
        if self.running:
            wait([running.process.sentinel for running in self.running], _LOOK_SECONDS)
        elif self.pending:
            time.sleep(_LOOK_SECONDS)

    def _look_elsewhere(self) -> None:
        """Take note of what others have done."""
        self.elsewhere = time.monotonic() + _ELSEWHERE_SECONDS
        for name, result in finished(self.out, self.pending).items():
            self.progress.know(name, result.wall_seconds)
        self._drop_done()

    def _drop_done(self) -> None:
        self.pending = [p for p in self.pending if p.cell.name not in self.progress.seconds]

    def _result(self, planned: PlannedCell) -> Result | None:
        path = self.out / CELLS / planned.cell.name / RESULT
        return read_result(path) if path.is_file() else None

    def _end(self) -> None:
        """Have the cells that run save their work and end."""
        for running in self.running:
            if running.process.is_alive() and running.process.pid is not None:
                os.kill(running.process.pid, signal.SIGTERM)
        end = time.monotonic() + _END_SECONDS
        for running in self.running:
            running.process.join(max(0.0, end - time.monotonic()))
            if running.process.is_alive():
                running.process.kill()
                running.process.join()
            running.lease.close()
        self.running = []


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-status).name}{hint}"
    return f"ended with status {status}"
