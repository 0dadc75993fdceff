"""Runs one command in a process of its own, bounds it, and measures it."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import pkgutil
import resource
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ADDRESS_SPACE = 8 * 2**30
"""Bytes of address space that a command gets, so that the machine survives it."""

MOST_MEMORY = 4 * 2**30
"""Bytes of memory above which a command is ended."""

PATIENCE = 900.0
"""Seconds of wall time after which a command is ended however busy the machine is."""


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        status: its exit status; ``None`` where a signal ended it.
        signal: the name of that signal.
        seconds: wall time without the time in which it waited for a core.
        memory: bytes, its peak.
        ended: why it was ended by force, if it was.
        stdout: what it printed.
        stderr: what it complained about.
    """

    status: int | None
    signal: str | None
    seconds: float
    memory: int
    ended: str | None
    stdout: str
    stderr: str


def preload() -> None:
    """Import all of wsrl, so that a forked process starts at once."""
    import lightning.pytorch.cli  # noqa: F401

    import wsrl

    for module in pkgutil.walk_packages(wsrl.__path__, "wsrl."):
        if "triton" not in module.name:
            importlib.import_module(module.name)


def run_command(
    words: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    most_seconds: float,
    fresh: bool = False,
) -> Outcome:
    """Run ``wsrl`` with these words in a process and a session of its own.

    Args:
        words: the command line.
        folder: the folder to work in.
        environment: all variables.
        most_seconds: it is ended after so many, waiting for a core not counted.
        fresh: start a new interpreter; otherwise fork this process, which has imported wsrl.
    """
    if not fresh and (threads := len(os.listdir("/proc/self/task"))) > 1:
        raise RuntimeError(f"a process of {threads} threads cannot be forked safely: use --fresh")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            _become(words, folder, environment, (out.fileno(), err.fileno()), fresh)
        status, used, seconds, ended = _watch(process, most_seconds)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace"))
    number = os.waitstatus_to_exitcode(status)
    killed = None if number >= 0 else signal.Signals(-number).name
    memory = used.ru_maxrss * 1024
    return Outcome(None if killed else number, killed, seconds, memory, ended, *texts)


def _watch(
    process: int, most_seconds: float
) -> tuple[int, resource.struct_rusage, float, str | None]:
    """Wait for a process; end its whole session where it takes too much."""
    start, seconds, ended = time.monotonic(), 0.0, None
    while True:
        done, status, used = os.wait4(process, os.WNOHANG)
        if done:
            break
        wall = time.monotonic() - start
        waited, memory = _waited_for_a_core(process), _memory(process)
        seconds = wall - waited
        if seconds > most_seconds or wall > PATIENCE:
            ended = f"it did not end in {seconds:.0f} s ({wall:.0f} s of wall time)"
        elif memory > 1.1 * MOST_MEMORY:
            ended = f"it took {memory / 2**30:.1f} GiB"
        if ended:
            _kill_session(process)
            _, status, used = os.wait4(process, 0)
            break
        time.sleep(0.01)
    _kill_session(process)
    return status, used, seconds, ended


def _waited_for_a_core(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _memory(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def _kill_session(leader: int) -> None:
    """End all processes of a session that one of ours leads."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            session = (entry / "stat").read_text().rsplit(")", 1)[1].split()[3]
            if int(session) == leader:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError):  # it has ended
            continue


def _become(
    words: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    outputs: tuple[int, int],
    fresh: bool,
) -> NoReturn:
    """Turn a forked process into the command; never return."""
    try:
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, handle in enumerate(outputs, start=1):
            os.dup2(handle, number)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _give_up_roots_rights()
        if fresh:
            os.execve(sys.executable, [sys.executable, "-m", "wsrl.cli", *words], environment)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        status = _call(words)
    except BaseException:
        traceback.print_exc()
        status = 99
    os._exit(status)


def _call(words: Sequence[str]) -> int:
    """Do what an interpreter does for the command, up to and with its end."""
    from wsrl.cli import main

    sys.argv = ["wsrl", *words]
    try:
        status = main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return status & 0xFF


def _give_up_roots_rights() -> None:
    """Drop all capabilities, also over an ``exec``: root could read and write everything."""
    if os.geteuid() == 0 and sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(28, 1, 0, 0, 0)  # PR_SET_SECUREBITS, SECBIT_NOROOT
        libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6))
