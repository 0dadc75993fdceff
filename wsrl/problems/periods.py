"""The periods of a trial: fixation, stimulus, delay, decision."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Milliseconds: TypeAlias = Annotated[float, Field(gt=0, le=10**6)]
"""A duration, or a time step."""

Durations: TypeAlias = Mapping[str, float | NDArray[Any]]
"""Of each period in milliseconds, for all trials or ``(S,)``."""


def steps_of(milliseconds: float, dt: float) -> int:
    """Return a duration in steps.

    >>> steps_of(750, 20)
    38
    """
    return round(milliseconds / dt)


def check_durations(dt: float, **milliseconds: float) -> None:
    """Refuse durations that are shorter than a step, by a ``ValueError``.

    >>> check_durations(100, decision=100)
    """
    for name, duration in milliseconds.items():
        if steps_of(duration, dt) < 1:
            raise ValueError(f"{name} must be at least one step of {dt:g} ms, not {duration:g} ms")


def delays(own: np.random.Generator, count: int, delay: float, jitter: float) -> NDArray[Any]:
    """Draw delays ``(S,)``, uniformly from ``delay (1 - jitter)`` to ``delay (1 + jitter)``.

    >>> delays(np.random.default_rng(0), 3, 500, 0.0)
    array([500., 500., 500.])
    """
    return delay * (1 + jitter * own.uniform(-1, 1, count))


def periods(
    durations: Durations, dt: float, trials: int, length: int
) -> dict[str, NDArray[np.bool_]]:
    """Return at which steps each of the periods is, which follow each other.

    Args:
        durations: of each period.
        dt: milliseconds of a step.
        trials: ``S``.
        length: ``T``; after the last period is none.

    Returns:
        ``(S, T)`` for each.

    >>> found = periods({"stimulus": 200, "delay": np.array([0, 100])}, 100, 2, 4)
    >>> found["delay"].astype(int)
    array([[0, 0, 0, 0],
           [0, 0, 1, 0]])
    """
    steps, start, found = np.arange(length), np.zeros((trials, 1), int), {}
    for name, duration in durations.items():
        counts = np.rint(np.asarray(duration, float) / dt).astype(int)
        end = start + np.broadcast_to(counts, trials)[:, None]
        found[name] = (steps >= start) & (steps < end)
        start = end
    return found
