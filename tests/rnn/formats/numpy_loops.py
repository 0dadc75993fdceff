"""Inputs at random, and RNNs as loops in NumPy, to compare with what files are read as."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.rnn import RNNWeights, run_population

Array: TypeAlias = NDArray[np.float32]
I, H, O = 3, 4, 2  # noqa: E741
RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((2, 6, I)).astype("f4")


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("f4")


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def loop(step: Callable[[Array, Any], tuple[Array, Any]], inputs: Array, state: Any) -> Array:
    """Run over ``inputs (S, T, I)``; a step returns what is read, and the next state."""
    outputs = []
    for x in inputs.swapaxes(0, 1):
        output, state = step(x, state)
        outputs.append(output)
    return np.stack(outputs, 1)


def check(weights: RNNWeights, wanted: Array) -> None:
    found = run_population(weights, torch.from_numpy(INPUTS)[None])[0][0].numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
