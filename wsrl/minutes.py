"""When a minute has passed: long work says so often how far it is, where no bar can be drawn."""

import time

MINUTE = 60.0


class Minutes:
    """A clock that says once a minute that a minute has passed."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def passed(self) -> bool:
        """Return whether a minute has passed."""
        now = time.monotonic()
        if now - self._last < MINUTE:
            return False
        self._last = now
        return True
