"""The one place where the command prints: text that can only be read, on streams that are there.

A zoo, a checkpoint or a table may be from anybody, and what they say reaches the terminal in tables
and messages. A terminal obeys control characters: they could clear the screen, hide a line or write
another one. So everything that is printed is escaped here.
"""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeAlias

_LAYOUT = "\n\t"  # of what the command prints itself


def printable(text: str, keep: str = "") -> str:
    r"""Escape every character that is not simply seen, but for those to ``keep``.

    These are control characters, new lines and tabs included, marks that change the direction of
    writing, separators other than the space, and halves of characters (surrogates).

    >>> printable("\x1b[2Jwell")
    '\\x1b[2Jwell'
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def say(text: str) -> None:
    """Print text on stdout; ``OSError`` where it cannot be written, as on a full disk."""
    print(printable(text, _LAYOUT))
    flush()


def flush() -> None:
    """Have all that was printed on stdout written, or raise ``OSError``."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = None  # or Python tries again at its end
        raise


def note(lines: Iterable[str]) -> None:
    """Point things out on stderr, a line each."""
    for line in lines:
        _write(sys.stderr, f"note: {line}")


def complain(text: str) -> None:
    """Print an error on stderr; on stdout where stderr is closed."""
    closed = sys.stderr is None or getattr(sys.stderr, "name", "") == os.devnull
    _write(sys.stdout if closed else sys.stderr, text)


ThreadErrors: TypeAlias = list[tuple[str, BaseException]]
"""The exceptions that ended threads of this process, each with the name of its thread."""


@contextmanager
def guarded() -> Iterator[ThreadErrors]:
    """Have all that is printed go through this module, that of other libraries included.

    Warnings and logs are escaped. A thread that fails prints no traceback; its error is noted.
    """
    _open_streams()
    errors: ThreadErrors = []
    before = warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        text = printable(str(message), _LAYOUT)
        before[0](message if text == str(message) else UserWarning(text), *rest, **more)

    def note_error(args: threading.ExceptHookArgs) -> None:
        if os.environ.get("WSRL_TRACEBACK"):
            threading.__excepthook__(args)
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            errors.append(("" if args.thread is None else args.thread.name, args.exc_value))

    warnings.showwarning, threading.excepthook = show, note_error
    logging.setLogRecordFactory(_Record)
    try:
        yield errors
    finally:
        warnings.showwarning, _, threading.excepthook = before
        logging.setLogRecordFactory(before[1])


class _Record(logging.LogRecord):
    def getMessage(self) -> str:
        return printable(super().getMessage(), _LAYOUT)


def _open_streams() -> None:
    """Have closed streams lead to nowhere: else files get their numbers, and libraries' output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115 kept
        if number and hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO | None, text: str) -> None:
    """Write lines; those after the first are set in, so that none looks like another message."""
    first, *others = printable(text, _LAYOUT).split("\n")
    lines = [first, *(f"{'' if line[:1] in (' ', '') else '  '}{line}" for line in others)]
    with contextlib.suppress(OSError, ValueError):  # closed or full: there is no other place
        print("\n".join(lines), file=stream, flush=True)
