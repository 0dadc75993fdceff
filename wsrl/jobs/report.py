"""What running jobs say of their progress, to who listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Listener: TypeAlias = Callable[[Any], None]
_listeners: list[Listener] = [lambda value: None]


def report(share: float) -> None:
    """Report how much of the running job is done, from 0 to 1."""
    listener()(share)


def listener() -> Listener:
    """Return what is called with reports now."""
    return _listeners[-1]


@contextmanager
def listening(function: Listener) -> Iterator[None]:
    """Have a function called with what is reported while the body runs.

    >>> with listening(print):
    ...     report(0.5)
    0.5
    """
    _listeners.append(function)
    try:
        yield
    finally:
        _listeners.remove(function)
