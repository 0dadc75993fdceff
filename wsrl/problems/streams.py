"""Random streams that are functions of their key alone.

A stream is named by whole numbers (a seed, what it is for, a member, a block of steps), not by what
was drawn before. So a member's data do not depend on how many train together, and a build or a
training run that goes on after a kill needs to restore no random state but its step.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; part of its key, so that no two uses share numbers."""

    TASK = 0
    WEIGHTS = 1
    TRAINING = 2
    EVALUATION = 3
    ORDER = 4
    SEQUENCES = 5
    PERMUTATION = 6
    WEIGHT_DECAY = 7
    INPUTS = 8


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Return the generator named by ``(seed, purpose, *key)``; all are non-negative."""
    entropy = [seed, int(purpose), *key]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
