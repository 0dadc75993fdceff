"""How RNNs run on their own after their input, step by step, and how they are linearised.

Either at a fixed point, by its Jacobian, or along trajectories, by the linear map that is nearest
to what the RNN does there. The two are the same where the RNN is linear. Where neurons saturate the
Jacobian at a state says what becomes of small changes, which vanish though the content lasts; so
the mean of Jacobians is not the map that carries the states on.
"""

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


SLOPES, SLOPES_AT = 0.02, 64
"""How much Jacobians count beside steps, in units of the states' mean variance a neuron, and at how
many states they are taken. Circuits that saturate keep the right number of lasting eigenvalues from
0.01 to 0.03; without Jacobians products of variables seem to be variables as well, and above 0.1
variables seem to fade."""


@dataclass(frozen=True)
class LinearizedRNN:
    """An RNN near ``point``, ``x* (n,)``, whose ``image`` is ``F(x*)``; ``residual`` apart.

    Along trajectories point and image are the means of the states before and after a step, and
    ``transported (2, n, s d)`` is what ``transport`` returns; at a fixed point there is none.
    """

    system: LinearSystem
    point: NDArray[np.float64]
    image: NDArray[np.float64]
    residual: float
    transported: NDArray[np.float64] | None = None


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


@torch.no_grad()
def fit_rnns(weights: RNNWeights, inputs: Tensor, horizon: int) -> list[LinearizedRNN]:
    """Linearise RNNs along their trajectories after inputs, from ``s`` steps on.

    ``A`` is the linear map that is nearest, by least squares, to the steps that an RNN takes then,
    and to its Jacobians there: ``sum |F(x) - A x|^2 + w |J(x) - A|^2``. The steps say what becomes
    of contents as large as they are, the Jacobians what becomes of everything else. ``B`` is what
    the last input is ``transported`` to at first.

    Args:
        weights: ``B`` RNNs.
        inputs: ``(S, s, I)`` of -1 and 1, which all of them receive; and the negatives of these, so
            that values are zero in the mean.
        horizon: steps after the inputs, more than ``s``.

    >>> from wsrl.analysis.episodic_memory import saturating_circuit
    >>> from wsrl.analysis.variable_memory import Interactions
    >>> task = Interactions.of_task(np.eye(1, 2))  # repeat the number before the last
    >>> weights = saturating_circuit(task, np.eye(task.rank), gain=2.0)
    >>> inputs = torch.tensor([[[1.0], [1.0]], [[1.0], [-1.0]]]).double()
    >>> (rnn,) = fit_rnns(weights, inputs, horizon=20)
    >>> rnn.system.recurrent.round(1) + 0.0  # the two numbers take turns; W_hh has 2.1 here
    array([[0., 1.],
           [1., 0.]])
    """
    steps, width = inputs.shape[1:]
    both = torch.cat([inputs, -inputs]).expand(len(weights), -1, -1, -1)
    states = run_freely(weights, states_after(weights, both), horizon)[0].numpy()[:, :, steps:]
    fitted = []
    for row, own in enumerate(states):
        rnn = weights[row : row + 1]
        before, later = (part.reshape(-1, own.shape[-1]) for part in (own[:, :-1], own[:, 1:]))
        point, image = before.mean(0), later.mean(0)
        moved = transport(rnn, inputs)
        slope = _mean_jacobian(rnn, before)
        recurrent = _nearest_map(before - point, later - image, slope)
        readout = linearize(rnn, torch.from_numpy(image)[None]).readout[0].numpy()
        system = LinearSystem(recurrent, moved[0][:, -width:], readout)
        residual = float(np.linalg.norm(image - point))
        fitted.append(LinearizedRNN(system, point, image, residual, moved))
    return fitted


def _nearest_map(
    before: NDArray[np.float64], later: NDArray[np.float64], slope: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``A (n, n)``, by which rows ``(K, n)`` come nearest to later ones; else zeros.

    ``slope (n, n)`` is the mean of the Jacobians at the states.
    """
    count, size = before.shape
    with np.errstate(over="ignore", invalid="ignore"):
        variance, moved = before.T @ before / count, later.T @ before / count
        weight = SLOPES * np.trace(variance) / size
        variance, moved = variance + weight * np.eye(size), moved + weight * slope
    if not (np.isfinite(variance).all() and np.isfinite(moved).all()):
        return np.zeros_like(variance)  # the RNN ran away: nothing is said to last
    return np.asarray(moved @ np.linalg.pinv(variance, hermitian=True), np.float64)


def _mean_jacobian(weights: RNNWeights, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the Jacobians ``(n, n)`` of one RNN at some of the states ``(K, n)``."""
    some = torch.from_numpy(states[:: max(1, len(states) // SLOPES_AT)])
    copies = RNNWeights(weights.flat.expand(len(some), -1), weights.spec)
    return np.asarray(linearize(copies, some).recurrent.mean(0).numpy(), np.float64)


@torch.no_grad()
def transport(weights: RNNWeights, inputs: Tensor) -> NDArray[np.float64]:
    """Return how each number of the inputs changes the state, right after them and ``s`` steps on.

    That is half the difference which its opposite makes to a run, in the mean over sequences: the
    product of the Jacobians from its step on, where each is the mean over the way from one run's
    state to the other's. It is exact for numbers that are -1 or 1, however much neurons saturate.

    Args:
        weights: one RNN.
        inputs: ``(S, s, I)`` of -1 and 1.

    Returns:
        ``(2, n, s I)``.

    >>> from wsrl.analysis.episodic_memory import circuit
    >>> from wsrl.analysis.variable_memory import Interactions
    >>> task = Interactions.of_task(np.eye(1, 2))  # repeat the number before the last
    >>> inputs = torch.tensor([[[1.0], [1.0]], [[1.0], [-1.0]]]).double()
    >>> transport(circuit(task, np.eye(task.rank)), inputs)[0].round(9) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    steps, width = inputs.shape[1:]

    def run(some: Tensor) -> Tensor:
        return run_freely(weights, states_after(weights, some[None]), steps)[0][0, :, [0, steps]]

    straight, columns = run(inputs), []
    for place in range(steps * width):
        opposite = inputs.flatten(1).clone()
        opposite[:, place] *= -1
        change = straight - run(opposite.view_as(inputs))
        columns.append((change * inputs.flatten(1)[:, place, None, None] / 2).mean(0))
    return torch.stack(columns, 2).numpy()


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
