"""How RNNs run on their own after their input, step by step, and where they are linearised."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.analysis.variable_bases import LinearSystem
from wsrl.rnn import (
    RNNWeights,
    find_fixed_points,
    flatten_state,
    linearize,
    run_population,
    settled_states,
    state_size,
    unflatten_state,
)

SEARCHES, SETTLING = 4, 200
"""States of its trajectories from which a fixed point of an RNN is searched for, as from zero; and
steps without input after which searches start as well, from where these lead to."""


@dataclass(frozen=True)
class LinearizedRNN:
    """An RNN near ``point``, ``x* (n,)``, whose ``image`` is ``F(x*)``; ``residual`` apart."""

    system: LinearSystem
    point: NDArray[np.float64]
    image: NDArray[np.float64]
    residual: float


@torch.no_grad()
def states_after(weights: RNNWeights, inputs: Tensor) -> Tensor:
    """Return the states ``(B, S, n)`` that inputs ``(B, S, T, I)`` lead to from zero."""
    return flatten_state(run_population(weights, inputs)[1])


@torch.no_grad()
def run_freely(weights: RNNWeights, starts: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Let ``B`` RNNs run ``T`` steps with no input, from states ``(B, S, n)`` of each.

    Returned are states ``(B, S, 1 + T, n)``, at the start and after each step, and outputs
    ``(B, S, T, O)``, read from the state after each step.
    """
    states, outputs = [starts], []
    nothing = starts.new_zeros(*starts.shape[:2], 1, weights.spec.input_size)
    state = unflatten_state(weights.spec, starts)
    for _ in range(horizon):
        output, state = run_population(weights, nothing, state)
        outputs.append(output)
        states.append(flatten_state(state))
    return torch.stack(states, 2), torch.cat(outputs, 2)


def linearize_rnns(weights: RNNWeights, visited: Tensor) -> list[LinearizedRNN]:
    """Linearise RNNs at the fixed point without input that is nearest to ``visited (B, K, n)``.

    RNNs without biases have one at zero. Of others it is searched for; where no search converges
    the point is the one that moves least.
    """
    if weights.spec.bias:
        points = _nearest_fixed_points(weights, visited)
    else:
        points = visited.new_zeros(len(weights), state_size(weights.spec))
    with torch.no_grad():
        line = linearize(weights, points)
    moved = (line.image - line.point).norm(dim=1)
    parts = (line.recurrent, line.input, line.readout, line.point, line.image)
    arrays = [part.double().numpy() for part in parts]
    return [
        LinearizedRNN(LinearSystem(*three), point, image, residual)
        for *three, point, image, residual in zip(*arrays, moved.tolist(), strict=True)
    ]


def _nearest_fixed_points(weights: RNNWeights, visited: Tensor) -> Tensor:
    """Return points ``(B, n)``."""
    zero = torch.zeros_like(visited[:, :1])
    starts = torch.cat([zero, visited[:, :SEARCHES]], 1)
    settled = settled_states(weights, starts, steps=SETTLING)
    found = find_fixed_points(weights, torch.cat([starts, settled], 1))
    distance = torch.cdist(found.states, visited).square().mean(2)
    # What has not converged comes after all that has, by how far it still moves.
    last = distance.nan_to_num(torch.inf).amax(1, keepdim=True) + 1
    order = torch.where(found.converged, distance, last + found.residual.to(distance))
    best = order.nan_to_num(torch.inf).argmin(1, keepdim=True)
    return found.states.gather(1, best[:, :, None].expand(-1, -1, visited.shape[2]))[:, 0]
