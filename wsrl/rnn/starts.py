"""States from which fixed points are searched for: drawn, visited, or settled."""

import torch
from torch import Tensor

from wsrl.rnn.linearization import (
    check_shape,
    flatten_state,
    state_size,
    states_along,
    unflatten_state,
)
from wsrl.rnn.population import PreparedPopulation, start_state
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

CHUNK = 50  # steps that RNNs settle in one call


def random_starts(
    spec: RNNSpec, batch: int, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw states uniformly from -1 to 1 in every number, ``(batch, count, n)``."""
    return torch.rand(batch, count, state_size(spec), generator=generator) * 2 - 1


def visited_states(
    weights: RNNWeights, inputs: Tensor, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw states that ``B`` RNNs pass on their way through ``inputs (B, S, T, I)``.

    Searches for fixed points start there: RNNs pass near those that they use. Returns
    ``(B, count, n)``; their start is among the states, and where there are fewer, the same are
    there more than once.
    """
    with torch.no_grad():
        start = start_state(weights, inputs)
        passed = states_along(weights, inputs, start).transpose(1, 2).flatten(1, 2)
        states = torch.cat([flatten_state(start), passed], 1)
        order = torch.rand(states.shape[:2], generator=generator).argsort(1)
        order = order.repeat(1, -(-count // order.shape[1]))[:, :count].to(states.device)
        return states.gather(1, order[:, :, None].expand(-1, -1, states.shape[2]))


def settled_states(
    weights: RNNWeights, states: Tensor, inputs: Tensor | None = None, steps: int = 1000
) -> Tensor:
    """Let RNNs run under a constant input, so that they come near what attracts them.

    A search from there finds the stable fixed points, also far ones, as those of trained LSTMs that
    count; for unstable ones search from the states ``(B, K, n)`` as well. The input is
    ``(B, I)``; zeros by default.
    """
    shape = (len(weights), states.shape[1], CHUNK, weights.spec.input_size)
    if inputs is not None:
        check_shape(inputs, (shape[0], shape[3]), "inputs", "(B, I)")
    with torch.no_grad():
        constant = states.new_zeros(()) if inputs is None else inputs[:, None, None]
        driving, run = constant.expand(shape), PreparedPopulation(weights)
        state = unflatten_state(weights.spec, states)
        for done in range(0, steps, CHUNK):
            _, state = run(driving[:, :, : steps - done], state)
        return flatten_state(state)
