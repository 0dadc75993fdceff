"""When a minute has passed: long work says so often how far it is, where no bar can be drawn."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE = 60.0


class Minutes:
    """Tells when a minute has passed since it said so last.

    Args:
        clock: returns seconds.

    >>> seconds = iter([0, 59, 60, 61, 121])
    >>> minutes = Minutes(lambda: next(seconds))
    >>> [minutes.passed() for _ in range(4)]
    [False, True, False, True]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def passed(self) -> bool:
        """Return whether a minute has passed."""
        now = self._clock()
        if now - self._last < MINUTE:
            return False
        self._last = now
        return True
