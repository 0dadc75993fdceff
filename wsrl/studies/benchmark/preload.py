"""Imported once by the process from which a benchmark's trials are forked."""

from __future__ import annotations

import signal

import wsrl.studies.benchmark.work
import wsrl.studies.training.command  # noqa: F401 so that every trial has all imports at once

# Told to end together with its group, it must live on until the trials have saved their work.
for _number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(_number, signal.SIG_IGN)
