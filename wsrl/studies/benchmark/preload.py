"""Imported once by the process from which a benchmark's cells are forked."""

from __future__ import annotations

import signal

import wsrl.studies.benchmark.work  # noqa: F401 so that every cell has all imports at once

# Told to end together with its group, it must live on until the cells have saved their work.
for _number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(_number, signal.SIG_IGN)
