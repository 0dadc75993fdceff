"""How far a job is, told by the job to whoever runs it, across processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_listeners: list[Callable[[Any], None]] = []


def report(value: Any) -> None:
    """Tell how far the running job is; nothing happens where nobody listens.

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
