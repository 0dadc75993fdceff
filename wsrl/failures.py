"""Exceptions as users of a command see them: one message and an exit status."""

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
_LONGEST, _SHORT = 4000, 200  # characters of an expected message, and of any other
_OUT_OF_MEMORY = re.compile(
    r"(can't|cannot) allocate memory|out of memory|Storage size calculation overflowed|bad_alloc"
    r"|numel: integer multiplication overflow|array is too big",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile("too (large|big) to (convert|fit)|cannot fit 'int'")


@dataclass(frozen=True)
class Failure:
    """The message and the exit status of a command that ends by an exception."""

    reason: str
    status: int

    @property
    def message(self) -> str:
        """What to print after ``error:``."""
        hint = "unexpected; set WSRL_TRACEBACK=1 to see where it comes from"
        return f"{self.reason} ({hint})" if self.status == UNEXPECTED else self.reason


def describe(error: BaseException) -> Failure:
    """Return what to say of an exception, and the status to end with.

    That is 2 for a command line that makes no sense, 70 for errors whose text is not for users.
    """
    line = _first_line(error)
    if _is_lack_of_memory(error):
        return Failure(f"not enough memory{f' ({line})' if line else ''}", 1)
    if isinstance(error, OverflowError) and _TOO_LARGE.search(str(error)):
        return Failure(f"a number is too large ({line})", 1)
    if isinstance(error, EXPECTED):
        status = 2 if isinstance(error, argparse.ArgumentError) else 1
        return Failure(_cut(str(error), _LONGEST) or type(error).__name__, status)
    return Failure(f"{type(error).__name__}: {line}", UNEXPECTED)


def attempt(command: str, run: Callable[[], int | None], goes_on: bool = False) -> int:
    """Run a command; if it fails, print why in one message. Return the exit status.

    A command that ``goes_on`` with its work when it is run again says so if it was stopped.
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
    """Report threads that failed, unless the command has; return the status of the whole."""
    if 0 < status < _SIGNALLED:
        return status
    for name, error in threads:
        failure = describe(error)
        complain(f"wsrl: error in thread {name}: {failure.message}")
        status = status or failure.status
    return status


def _is_lack_of_memory(error: BaseException) -> bool:
    """PyTorch has an error of its own for a lack of memory on devices, and none for the CPU."""
    if {"MemoryError", "OutOfMemoryError"} & {kind.__name__ for kind in type(error).__mro__}:
        return True
    known = isinstance(error, RuntimeError | ValueError | OSError)
    return known and _OUT_OF_MEMORY.search(str(error)) is not None


def _first_line(error: BaseException) -> str:
    """Return the first line of a message; of another process's traceback, the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return _cut(lines[-1 if any("Traceback (" in line for line in lines) else 0], _SHORT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
