"""Exceptions as users of a command see them: one message and an exit status."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from wsrl.terminal import ThreadErrors, complain

EXPECTED = (ValueError, OSError, ImportError, argparse.ArgumentError)
"""Kinds of errors whose text is written for users: by wsrl, or by the operating system."""

UNEXPECTED = 70
"""Exit status of an unexpected error (``EX_SOFTWARE`` of ``sysexits.h``)."""

_SIGNALLED = 128  # shells report a process that a signal ended by this much more than its number
_LONGEST = 4000  # characters of an expected message, which may list several settings
_SHORT = 200  # characters of any other
_OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|DefaultCPUAllocator|out of memory|Storage size calculation overflowed"
    r"|cannot allocate memory|bad_alloc|numel: integer multiplication overflow"
    r"|array is too big",
    re.IGNORECASE,
)
_WANTED = re.compile(r"tried to allocate (\d+) bytes", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"int too (large|big) to convert|too (large|big) to (convert|fit)|cannot fit 'int'"
)


@dataclass(frozen=True)
class Failure:
    """How a command ends by an exception.

    Attributes:
        reason: what is wrong.
        status: the exit status.
    """

    reason: str
    status: int

    @property
    def message(self) -> str:
        """What to print after ``error:``."""
        hint = "unexpected; set WSRL_TRACEBACK=1 to see where it comes from"
        return f"{self.reason} ({hint})" if self.status == UNEXPECTED else self.reason


def describe(error: BaseException) -> Failure:
    """Return what to say of an exception, and the status to end with.

    Expected errors say what to do and end with 1, or with 2 for a command line that makes no sense.
    So do a lack of memory and numbers that are too large for the machine. All others are named by
    their kind, and end with 70.
    """
    if (lack := _lack_of_memory(error)) is not None:
        return Failure(f"not enough memory{f' ({lack})' if lack else ''}", 1)
    if isinstance(error, OverflowError) and _TOO_LARGE.search(str(error)):
        return Failure(f"a number is too large ({_first_line(error)})", 1)
    if isinstance(error, EXPECTED):
        status = 2 if isinstance(error, argparse.ArgumentError) else 1
        return Failure(_cut(str(error), _LONGEST) or type(error).__name__, status)
    return Failure(f"{type(error).__name__}: {_first_line(error)}", UNEXPECTED)


def attempt(command: str, run: Callable[[], int | None], goes_on: bool = False) -> int:
    """Run a command; if it fails, print why in one message.

    Args:
        command: its name, for the message.
        run: does the work; returns the exit status, where it is not 0.
        goes_on: whether it goes on with its work when it is run again.

    Returns:
        The exit status.
    """
    again = "; run the same command again to go on" if goes_on else ""
    try:
        return run() or 0
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            complain(f"{command}: error: {end.code}")
            return 1
        status = end.code or 0
        if status - _SIGNALLED in signal.valid_signals() and goes_on:  # others have said it
            complain(f"{command}: stopped by {signal.Signals(status - _SIGNALLED).name}{again}")
        return status
    except KeyboardInterrupt:
        complain(f"{command}: interrupted{again}")
        return _SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        sys.stdout = None  # nobody reads on, as in `wsrl zoo info DIR | head`
        return 1
    except Exception as error:
        if os.environ.get("WSRL_TRACEBACK"):
            complain("".join(traceback.format_exception(error)).rstrip())
        failure = describe(error)
        complain(f"{command}: error: {failure.message}")
        return failure.status


def status_with_threads(status: int, threads: ThreadErrors) -> int:
    """Report threads that failed, and return the exit status of the whole command.

    Threads are not reported where the command itself failed and has said why.

    Args:
        status: of the command itself.
        threads: what ended threads meanwhile.
    """
    if 0 < status < _SIGNALLED:
        return status
    for name, error in threads.found:
        failure = describe(error)
        complain(f"wsrl: error in thread {name}: {failure.message}")
        status = status or failure.status
    return status


def _lack_of_memory(error: BaseException) -> str | None:
    """Return what is known of a lack of memory; ``None`` for other exceptions."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if not {"MemoryError", "OutOfMemoryError"} & names:
        # PyTorch has a class of its own for devices, and none for the CPU.
        known = isinstance(error, RuntimeError | ValueError | OSError)
        if not known or not _OUT_OF_MEMORY.search(text):
            return None
    wanted = _WANTED.search(text)
    if wanted and not isinstance(error, EXPECTED):  # whose text may name a file
        return f"{int(wanted[1]) / 1e9:,.1f} GB were asked for at once"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    """Return the line that says what is wrong: the last one of another process's traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return ""
    return _cut(lines[-1 if any("Traceback (" in line for line in lines) else 0], _SHORT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
