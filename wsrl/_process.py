"""How the command uses the machine, set for its own process before torch is imported."""

import argparse
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wsrl.class_paths import import_own
from wsrl.stopping import is_launched

RUNNING = Path("/proc/loadavg")
named_modules: list[str] = []
"""Modules that the command line names."""

_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt


def tune_process() -> None:
    """Choose how threads wait and how memory is kept; what the user has set stays.

    Between two parallel pieces of work the threads of OpenMP wait by spinning: up to twice as fast
    as sleeping for many tiny operations, and several times slower where another process needs the
    core. So they sleep where the cores are not all free at the start.
    """
    if "torch" in sys.modules:
        return  # called from Python, whose process is not ours; OpenMP has read its settings
    if "LOCAL_RANK" in os.environ:
        _end_with_the_launcher()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    cores = os.cpu_count() or 1
    threads = int(wanted) if wanted.isdigit() else cores
    chosen = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
    if not chosen and threads > 1 and busy_cores() + threads > cores:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    _keep_freed_memory()


def take_imports(words: Sequence[str]) -> list[str]:
    """Take ``--import MODULE`` out of a command line; ``find_own_modules`` imports the modules."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE")
    known, rest = parser.parse_known_args(list(words))
    named_modules[:] = known.modules
    return rest


def find_own_modules() -> None:
    """Find modules in the working folder, and import those that the command line names."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in named_modules:
        import_own(name)


def _end_with_the_launcher() -> None:
    """Have the kernel end this process when the one that launched it dies, however it does.

    A training process that another one of this command started may then wait for that one in a
    library, where no signal is noticed, and has nothing to save: it is killed.
    """
    number = signal.SIGKILL if is_launched() else signal.SIGTERM
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library without it
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, number)
    if is_launched() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Told to end before it began, or while it ends: well, since Lightning kills all as soon as
        # one does not; and at once, since an exception may be too late for anybody to see.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def busy_cores() -> int:
    """Return how many other threads are running on this machine; 0 if unknown."""
    counts = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ in range(5):
            counts.append(int(RUNNING.read_text().split()[3].split("/")[0]))
            time.sleep(0.01)
    return max(min(counts, default=1) - 1, 0)  # the least, since some run for a moment only


def _keep_freed_memory() -> None:
    """Have large blocks reused rather than returned, which costs a page fault in every step."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
