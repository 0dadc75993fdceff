"""RNNs whose mechanism is known, for the tests of variable memories."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.variable_bases import LinearSystem
from wsrl.analysis.variable_memory import Interactions
from wsrl.problems.binding_tasks import NAMES, BindingTask
from wsrl.rnn import RNNWeights

Array = NDArray[np.float64]


def interactions_of(task: BindingTask) -> Interactions:
    return Interactions.of_task(task.matrix())


def orthonormal(random: np.random.Generator, size: int, rank: int) -> Array:
    return np.linalg.qr(random.normal(size=(size, rank)))[0]


def matrices(weights: RNNWeights) -> tuple[Array, Array, Array]:
    """``W_ih``, ``W_hh``, ``W_r`` of the first RNN."""
    names = ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "linear.weight")
    return tuple(weights.tensors()[name][0].numpy() for name in names)


def with_matrices(weights: RNNWeights, *parts: Array) -> RNNWeights:
    flat = np.concatenate([part.ravel() for part in parts])
    return RNNWeights(torch.from_numpy(flat)[None], weights.spec)


def system_of(weights: RNNWeights) -> LinearSystem:
    inward, recurrent, readout = matrices(weights)
    return LinearSystem(recurrent, inward, readout)


def published() -> list[BindingTask]:
    return [BindingTask.from_name(name, 8, 8) for name in NAMES]


def drawn(count: int, steps: int = 4, dims: int = 4, seed: int = 0) -> list[BindingTask]:
    random = np.random.default_rng(seed)
    return [BindingTask.draw(random, steps, dims) for _ in range(count)]


def relabelled(task: BindingTask, order: NDArray[np.int64]) -> BindingTask:
    """The same task with its dimensions named otherwise: the spectrum is the same."""
    ages, places = np.divmod(np.array(task.sources), task.dims)
    sources, signs = np.zeros(task.dims, int), np.zeros(task.dims, int)
    sources[order] = ages * task.dims + order[places]
    signs[order] = task.signs
    return BindingTask(tuple(sources.tolist()), tuple(signs.tolist()), task.steps)


def continuation(task: BindingTask, inputs: NDArray[np.int8], horizon: int) -> NDArray[np.int8]:
    """What a task outputs after ``inputs (S, s, d)``: by its own unrolling, not by ``Phi``."""
    origins, signs = task.unrolled(horizon)
    return np.asarray(inputs.reshape(len(inputs), -1)[:, origins] * signs, np.int8)
