"""RNNs whose mechanism is known, for the tests of variable memories."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.episodic_memory import saturating_circuit
from wsrl.analysis.variable_bases import LinearSystem
from wsrl.analysis.variable_memory import Interactions
from wsrl.problems.binding_tasks import NAMES, BindingTask
from wsrl.rnn import RNNSpec, RNNWeights

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


def saturating(
    task: BindingTask, gain: float, groups: tuple[tuple[int, ...], ...] = (), copies: int = 2
) -> RNNWeights:
    """A tanh circuit that saturates: a neuron holds a variable, or a little of each of a group."""
    own = interactions_of(task)
    mixed = [0.2 * np.isin(np.arange(own.rank), group) for group in groups]
    rows = np.concatenate([np.eye(own.rank)] * copies + [row[None] for row in mixed])
    return saturating_circuit(own, rows, gain)


def state_machine(task: BindingTask) -> RNNWeights:
    """A neuron for all that ``d`` numbers may be at once, of a task of one vector.

    The neuron of what was read is 1 and all others are -1; each switches on the one that follows.
    """
    dims = task.dims
    patterns = np.array(np.meshgrid(*[[-1.0, 1.0]] * dims, indexing="ij")).reshape(dims, -1).T
    following = patterns @ task.matrix().T
    moves = (following[None] == patterns[:, None]).all(2).astype(float)
    bias = np.full(len(patterns), 1.0 - dims)
    recurrent = -2 * bias[:, None] * moves
    spec = RNNSpec("tanh", dims, len(patterns), 1, dims, True)
    nothing, gain, readout = np.zeros(len(patterns)), 3.0, patterns.T / 2
    parts = [gain * patterns, gain * recurrent, gain * bias, nothing, readout, np.zeros(dims)]
    flat = np.concatenate([part.ravel() for part in parts])
    return RNNWeights(torch.from_numpy(flat)[None], spec)
