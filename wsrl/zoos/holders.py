"""Which process holds a lease, and whether it is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field

from wsrl.validation import checked


@checked
class Holder:
    """A process that cannot be taken for another one, not even for a later one with its number.

    Attributes:
        host: name of the machine.
        boot: names the machine's last start; empty where the system does not tell.
        namespace: in which process numbers are unique, as a container has its own.
        pid: number of the process.
        started: when it started, in the machine's ticks; empty where the system does not tell.
    """

    host: str
    boot: str
    namespace: str
    pid: Annotated[int, Field(ge=1)]
    started: str

    @classmethod
    def of_this_process(cls) -> Holder:
        """Return what names this process."""
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            namespace = os.readlink("/proc/self/ns/pid")
        except OSError:
            boot, namespace = "", ""  # no Linux: only its heartbeat tells that it lives
        started = (_state_and_start(os.getpid()) or ("", ""))[1]
        return cls(socket.gethostname(), boot, namespace, os.getpid(), started)

    def shares_processes_with(self, other: Holder) -> bool:
        """Say whether both see the same processes under the same numbers."""
        mine = (self.host, self.boot, self.namespace)
        return self.boot != "" and mine == (other.host, other.boot, other.namespace)

    def has_died(self, seen_from: Holder) -> bool:
        """Say whether this process is known to be gone; of other machines nothing is known."""
        if not self.shares_processes_with(seen_from):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass  # another user's
        found = _state_and_start(self.pid)
        return found is not None and (found[0] in "ZX" or found[1] != self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _state_and_start(pid: int) -> tuple[str, str] | None:
    """Return a process's state (``Z`` once it ended) and start; ``None`` if unknown."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = content.rpartition(")")[2].split()  # its name, in brackets, may hold anything
    return fields[0], fields[19]
