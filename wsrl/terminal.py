"""The one place where the command prints: text that can only be read, on streams that are there.

A zoo, a checkpoint or a table may be from anybody, and what they say reaches the terminal in tables
and messages. A terminal obeys control characters: they could clear the screen, hide a line or write
another one. So everything that is printed is escaped here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

_LAYOUT = "\n\t"  # of what the command prints itself


def printable(text: str, keep: str = "") -> str:
    r"""Escape every character that is not simply seen.

    These are control characters, new lines and tabs included, marks that change the direction of
    writing, separators other than the space, and halves of characters (surrogates).

    Args:
        text: any text, as a name that a file gives.
        keep: characters that stay all the same.

    >>> printable("\x1b[2Jwell")
    '\\x1b[2Jwell'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def say(text: str) -> None:
    """Print text on stdout.

    Raises:
        OSError: where stdout cannot be written to, as on a full disk.
    """
    print(printable(text, _LAYOUT))
    flush()


def flush() -> None:
    """Have all that was printed on stdout written.

    Raises:
        OSError: where it cannot be.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = None  # or Python tries again at its end
        raise


def note(lines: Iterable[str]) -> None:
    """Point things out on stderr, a line each; nothing where stderr is closed."""
    for line in lines:
        if sys.stderr is not None:
            _write(sys.stderr, f"note: {line}")


def complain(text: str) -> None:
    """Print an error on stderr; on stdout where stderr is closed."""
    _write(sys.stdout if _is_closed(sys.stderr) else sys.stderr, text)


@dataclass
class ThreadErrors:
    """The exceptions that ended threads of this process.

    Attributes:
        found: each with the name of its thread.
    """

    found: list[tuple[str, BaseException]] = field(default_factory=list)

    def note(self, args: threading.ExceptHookArgs) -> None:
        """Take note of an exception, as ``threading.excepthook`` is told."""
        if os.environ.get("WSRL_TRACEBACK"):
            threading.__excepthook__(args)
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self.found.append(("" if args.thread is None else args.thread.name, args.exc_value))


@contextmanager
def guarded() -> Iterator[ThreadErrors]:
    """Have all that is printed go through this module, that of other libraries included.

    Warnings and logs are escaped. A thread that fails prints no traceback; its error is noted.
    """
    _open_streams()
    errors = ThreadErrors()
    before = warnings.showwarning, logging.getLogRecordFactory(), threading.excepthook
    warnings.showwarning = _escaping(before[0])
    logging.setLogRecordFactory(_Record)
    threading.excepthook = errors.note
    try:
        yield errors
    finally:
        warnings.showwarning = before[0]
        logging.setLogRecordFactory(before[1])
        threading.excepthook = before[2]


class _Record(logging.LogRecord):
    """What was logged, escaped."""

    def getMessage(self) -> str:
        return printable(super().getMessage(), _LAYOUT)


def _escaping(show: Callable[..., None]) -> Callable[..., None]:
    """Return a ``warnings.showwarning`` that escapes the message and hands it on."""

    def show_escaped(message: Warning | str, category: type[Warning], *where: Any) -> None:
        text = printable(str(message), _LAYOUT)
        show(message if text == str(message) else UserWarning(text), category, *where)

    return show_escaped


def _open_streams() -> None:
    """Have streams that are closed lead to nowhere.

    The next file that is opened would take their numbers, and libraries would print into it. What a
    stream cannot encode is escaped, too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115 kept
            setattr(sys, name, stream)
        if number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _is_closed(stream: TextIO | None) -> bool:
    return stream is None or getattr(stream, "name", None) == os.devnull  # as _open_streams has it


def _write(stream: TextIO | None, text: str) -> None:
    """Write lines; those after the first are set in, so that none looks like another message."""
    first, *others = printable(text, _LAYOUT).split("\n")
    lines = [first, *(f"{'' if line[:1] in (' ', '') else '  '}{line}" for line in others)]
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # closed or full: there is no other place
            print("\n".join(lines), file=stream, flush=True)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
