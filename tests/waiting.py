"""Waiting for events rather than for seconds, so that tests pass on a machine that is busy."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

HANG_SECONDS = 600.0
"""Ends a test that waits for something that never comes; no law depends on this number."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Say whether a process of this number exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Gate:
    """Where processes wait until a test lets them go on.

    Args:
        folder: names the gate; it is known to all processes by its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._passed = False

    def open(self) -> None:
        """Let all processes go on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "open").touch()

    def waiting(self) -> list[int]:
        """Return the processes that have come to the gate and have not ended."""
        names = [path.name for path in self.folder.glob("[0-9]*")]
        return sorted(int(name) for name in names if runs(int(name)))

    def wait(self) -> None:
        """Wait, in the main thread, until the gate is open or a signal comes; only the first time.

        A process that was told to end goes on at once, as it would from any other work.
        """
        if self._passed:
            return
        self._passed = True
        receiver, sender = os.pipe()
        os.set_blocking(sender, False)
        before = signal.set_wakeup_fd(sender)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        try:
            while not (self.folder / "open").exists():
                if select.select([receiver], [], [], 0.05)[0]:
                    return
        finally:
            signal.set_wakeup_fd(before)
            os.close(receiver)
            os.close(sender)
