"""The General Sequential Episodic Memory Model, and RNNs made of given memories.

Karuvally, Delmastro, Siegelmann (2023, arXiv 2310.02430, sections on the model and its discrete
limit). The model is the theory behind variable memories; the circuits are RNNs whose mechanism is
known, since it was written into their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from wsrl.analysis.spectra import Matrix
from wsrl.analysis.variable_memory import Interactions
from wsrl.rnn import RNNSpec, RNNWeights, linearize, state_size

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Lagrangian:
    """A Lagrangian ``L`` of a vector, and the activation that is its gradient.

    The energy never rises where it is convex.

    Attributes:
        value: ``L``, ``(n,)`` to a number.
        activation: its gradient ``s``, ``(n,)`` to ``(n,)``.
    """

    value: Callable[[Vector], float]
    activation: Callable[[Vector], Vector]


IDENTITY = Lagrangian(lambda v: float(v @ v) / 2, lambda v: v)
TANH = Lagrangian(
    lambda v: float((np.abs(v) + np.log1p(np.exp(-2 * np.abs(v))) - np.log(2)).sum()), np.tanh
)
SOFTMAX = Lagrangian(lambda v: float(logsumexp(v)), lambda v: np.asarray(softmax(v), np.float64))


class ModelState(NamedTuple):
    """The state of the model: features ``V_f (n,)``, hidden ``V_h (r,)``, delayed ``V_d (n,)``."""

    features: Vector
    hidden: Vector
    delayed: Vector


@dataclass(frozen=True)
class EpisodicMemoryModel:
    """``n`` features with ``r`` memories that call each other up.

    ``T_f dV_f/dt = sqrt(a_s) Xi s_h(V_h) - V_f``,
    ``T_h dV_h/dt = sqrt(a_s) Xi^T s_f(V_f) + a_c Phi^T Xi^T V_d - V_h``,
    ``T_d dV_d/dt = s_f(V_f) - V_d``.

    Attributes:
        memories: ``Xi (n, r)``.
        interactions: ``Phi (r, r)``.
        feature: ``L_f`` with ``s_f``.
        hidden: ``L_h`` with ``s_h``.
        strength: ``a_s``, of the memories themselves.
        sequence_strength: ``a_c``, of their interactions.
        times: ``T_f, T_h, T_d``; what has 0 is always where it tends to.

    Raises:
        ValueError: for shapes that do not fit, negative strengths or times, or ``T_f = 0``.
    """

    memories: Matrix
    interactions: Matrix
    feature: Lagrangian = IDENTITY
    hidden: Lagrangian = IDENTITY
    strength: float = 1.0
    sequence_strength: float = 1.0
    times: tuple[float, float, float] = (1.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        count = self.memories.shape[-1]
        if self.memories.ndim != 2 or self.interactions.shape != (count, count):
            raise ValueError(
                "memories (n, r) and interactions (r, r) do not fit each other: "
                f"{self.memories.shape}, {self.interactions.shape}"
            )
        if min(self.strength, self.sequence_strength, *self.times) < 0 or not self.times[0]:
            raise ValueError(
                f"strengths and times are no less than 0, that of the features above: "
                f"{self.strength}, {self.sequence_strength}, {self.times}"
            )

    def step(self, state: ModelState, time: float = 1.0, frozen: bool = False) -> ModelState:
        """Move on by a step of time (Euler).

        Args:
            state: where it is.
            time: how far to go; small against ``T`` for the flow, 1 for the discrete system.
            frozen: whether the delayed signal stays as it is.
        """
        shown = self.feature.activation(state.features)
        delayed = state.delayed
        if not frozen:
            delayed = _approach(delayed, shown, time, self.times[2])
        instant = self.times[2] == 0 and not frozen
        target = self._hidden_target(shown, delayed if instant else state.delayed)
        hidden = _approach(state.hidden, target, time, self.times[1])
        called = hidden if self.times[1] == 0 else state.hidden
        recalled = np.sqrt(self.strength) * self.memories @ self.hidden.activation(called)
        return ModelState(_approach(state.features, recalled, time, self.times[0]), hidden, delayed)

    def energy(self, state: ModelState) -> float:
        """Return ``E``, which never rises while the delayed signal is frozen.

        ``[V_f^T s_f - L_f] + [V_h^T s_h - L_h] - sqrt(a_s) s_f^T Xi s_h - a_c V_d^T Xi Phi s_h``;
        that holds for small steps and convex Lagrangians.
        """
        shown = self.feature.activation(state.features)
        called = self.hidden.activation(state.hidden)
        own = state.features @ shown - self.feature.value(state.features)
        own += state.hidden @ called - self.hidden.value(state.hidden)
        recall = np.sqrt(self.strength) * shown @ self.memories @ called
        sequence = state.delayed @ self.memories @ self.interactions @ called
        return float(own - recall - self.sequence_strength * sequence)

    def _hidden_target(self, shown: Vector, delayed: Vector) -> Vector:
        own = np.sqrt(self.strength) * self.memories.T @ shown
        sequence = self.interactions.T @ self.memories.T @ delayed
        return np.asarray(own + self.sequence_strength * sequence, np.float64)

    def limit(self, features: Vector) -> Vector:
        """Return ``V_f(t+1) = Xi (I + Phi^T) Xi^T s_f(V_f(t))``.

        The model's unit step for ``T_h, T_d -> 0``, ``s_h`` the identity and strengths 1. By
        ``h = s_f(V_f)`` it is the RNN ``h(t+1) = s_f(W h(t))`` with ``W = limit_weights()``.
        """
        return self.limit_weights() @ self.feature.activation(features)

    def limit_weights(self) -> Matrix:
        """Return ``Xi (I + Phi^T) Xi^T (n, n)``."""
        count = len(self.interactions)
        return self.memories @ (np.eye(count) + self.interactions.T) @ self.memories.T


def circuit(interactions: Interactions, memories: Matrix, cell: str = "linear") -> RNNWeights:
    """Write variables and their interactions into the weights of an RNN.

    ``W_hh = Psi Phi Psi^+`` of the reduced ``Phi``; ``W_ih`` writes into the newest vector's
    memories; ``W_r`` reads the newest vector. Where nothing reads the newest value of a dimension
    again, its input is ignored, and its output is what follows from the variables in the long run.
    Started at ``h = Psi v`` a linear circuit does the task exactly; a tanh circuit nearly so while
    the memories are small.

    Args:
        interactions: the task's.
        memories: ``Psi (n, r)``, independent columns.
        cell: an Elman cell that is linear near zero: ``linear``, ``tanh``.

    Returns:
        One RNN without biases, float64, with ``n`` hidden neurons.

    Raises:
        ValueError: for memories of another number, or that depend on each other; for another cell.
    """
    rank = interactions.rank
    if memories.ndim != 2 or memories.shape[1] != rank:
        raise ValueError(f"the task has {rank} variables: memories (n, {rank}), {memories.shape}")
    if np.linalg.matrix_rank(memories) < rank:
        raise ValueError(f"{rank} memories of {len(memories)} neurons must be independent")
    dual = np.linalg.pinv(memories)
    inputs = np.zeros((len(memories), interactions.dims))
    inputs[:, interactions.newest] = memories[:, interactions.newest_places]
    parts = (inputs, memories @ interactions.reduced @ dual, interactions.readout @ dual)
    spec = RNNSpec(cell, interactions.dims, len(memories), 1, interactions.dims, bias=False)
    flat = torch.from_numpy(np.concatenate([part.ravel() for part in parts]))
    weights = RNNWeights(flat[None], spec) if flat.numel() == spec.num_parameters else None
    if weights is None or not _is_linear_near_zero(weights):
        raise ValueError(f"circuits need a cell that is linear near zero, as tanh is, not {cell!r}")
    return weights


def _is_linear_near_zero(weights: RNNWeights) -> bool:
    """Say whether the second matrix of an RNN is the Jacobian of its step at zero."""
    line = linearize(weights, weights.flat.new_zeros(1, state_size(weights.spec)))
    return torch.allclose(line.recurrent, weights.tensor(weights.spec.tensors[1]))


def _approach(value: Vector, target: Vector, time: float, constant: float) -> Vector:
    """Return one Euler step of ``constant dv/dt = target - v``; without inertia, the target."""
    return target if constant == 0 else value + (time / constant) * (target - value)
