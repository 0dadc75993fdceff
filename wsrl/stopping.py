"""End between two steps rather than in the middle of one, when the process is told to end."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""An interruption at the keyboard, the end of a job, and a cluster's warning that it is near."""


class StopRequests:
    """Notes the signals that ask this process to end, for code that asks between two steps.

    A second interruption at the keyboard is obeyed at once. Signals that are ignored stay so, and
    where signals cannot be caught, outside of the main thread, they act as before.

    Attributes:
        signal: the first signal that came; ``None`` until then.
        at_once: end as soon as one comes; set to ``False`` when the first step begins.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.signal: signal.Signals | None = None
        self.at_once = at_once
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script
                    self._before[number] = signal.signal(number, self._note)
        return self

    def install(self) -> None:
        """Install the handlers again after other code has replaced them."""
        for number in self._before:
            signal.signal(number, self._note)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def raise_if_any(self) -> None:
        """End by ``KeyboardInterrupt`` or ``SystemExit``, if a signal came."""
        if self.signal is signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            if self.at_once:
                self.raise_if_any()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


def is_launched() -> bool:
    """Say whether another process of this very command started this one (Lightning does, for DDP).

    Such processes leave the end to the first one: it would kill all as soon as one of them fails.
    """
    started_outside = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun watches its processes itself
    return os.environ.get("LOCAL_RANK", "0") != "0" and not started_outside
