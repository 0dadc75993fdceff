"""Progress of a job, reported to the process that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_listeners: list[Callable[[Any], None]] = []


def report(value: Any) -> None:
    """Report the progress of the running job; without a listener nothing happens.

    Args:
        value: what the listener understands; plain, since it may go to another process.
    """
    if _listeners:
        _listeners[-1](value)


@contextmanager
def listening(listener: Callable[[Any], None]) -> Iterator[None]:
    """Have a function called with what jobs report while the body runs.

    >>> with listening(print):
    ...     report("step 3")
    step 3
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
