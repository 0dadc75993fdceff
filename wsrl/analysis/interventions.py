"""Changing the contents of variables in the states of an RNN, and seeing what it then outputs.

Reading a variable shows that a state tells it, not that the RNN uses it. Here the content of one
variable is turned into its opposite, by a basis, while the RNN runs; then its outputs must become
what the task says of the new contents. Random changes of the same size must not do as much.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wsrl.analysis.variable_memory import Interactions
from wsrl.rnn import RNNWeights, run_population, unflatten_state

Array = NDArray[np.float64]

STEPS, AT_ONCE = 50, 16
"""Steps that an RNN runs after a change, and variables that are changed in runs at one time."""


@dataclass(frozen=True)
class Interventions:
    """Shares of right signs of outputs, after changes of contents; None where there are none."""

    flip_right: float | None  # of outputs that had to change with a variable, of the worst one
    flip_kept: float | None  # of those that had to stay, of the worst variable
    exchange_right: float | None  # of the worst output: all variables as in another sequence
    random_right: float | None  # as flip_right, by random changes of the same size; the largest


def intervene(
    weights: RNNWeights,
    memories: Array,
    task: Interactions,
    states: Array,
    held: Array,
    contents: Array,
    seed: int = 0,
) -> Interventions:
    """Change the contents of variables, one by one and all at once, and run the RNN on.

    Args:
        weights: one RNN.
        memories: ``(n, r)``, where its variables are.
        task: theirs.
        states: ``(S, n)``, of ``S`` sequences at some time.
        held: ``(S, r)``, how large the contents of the variables are there.
        contents: ``(S, s d)``, what the task says that they are.
        seed: of random changes.

    >>> from wsrl.analysis.episodic_memory import circuit
    >>> task = Interactions.of_task(np.eye(2, 4))  # repeat the vector before the last
    >>> memories = np.eye(8, task.rank)  # in 8 neurons
    >>> contents = np.random.default_rng(0).choice([-1.0, 1.0], (16, 4))
    >>> rnn = circuit(task, memories)
    >>> found = intervene(rnn, memories, task, contents @ memories.T, contents, contents)
    >>> found.flip_right, found.flip_kept, found.exchange_right
    (1.0, 1.0, 1.0)
    """
    random = np.random.default_rng(seed)
    others = (np.roll(held, 1, 0) - held) @ memories.T
    told = _signs(weights, states + others) == _expected(task, np.roll(contents, 1, 0))
    right, kept, by_chance = [], [], []
    was = _expected(task, contents)
    for some in np.array_split(np.arange(task.rank), -(-task.rank // AT_ONCE)):
        changes = -2 * held.T[some][..., None] * memories.T[some][:, None]  # (m, S, n)
        drawn = random.normal(size=changes.shape)
        drawn *= np.linalg.norm(changes, axis=2, keepdims=True)
        drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
        starts = states + np.stack([changes, drawn])
        outputs = _signs(weights, starts.reshape(-1, states.shape[-1]))
        runs = outputs.reshape(2, *changes.shape[:2], *outputs.shape[1:])
        for place, flipped, drifted in zip(task.kept[some], *runs, strict=True):
            opposite = contents.copy()
            opposite[:, place] *= -1
            now = _expected(task, opposite)
            right.append(_share(flipped == now, now != was))
            kept.append(_share(flipped == now, now == was))
            by_chance.append(_share(drifted == now, now != was))
    chance = [share for share in by_chance if share is not None]
    worst = _least(told.mean((0, 1)).tolist())
    return Interventions(_least(right), _least(kept), worst, max(chance, default=None))


@torch.no_grad()
def _signs(weights: RNNWeights, starts: Array) -> Array:
    """Return the signs of the outputs ``(K, T, d)`` of an RNN that starts at ``(K, n)``."""
    state = unflatten_state(weights.spec, torch.from_numpy(starts)[None])
    nothing = torch.zeros(1, len(starts), STEPS, weights.spec.input_size, dtype=torch.float64)
    outputs, _ = run_population(weights, nothing, state)
    return np.asarray(outputs[0].sign().numpy(), np.float64)


def _expected(task: Interactions, contents: Array) -> Array:
    return np.asarray(np.sign(task.follow(contents, STEPS)[:, 1:, -task.dims :]), np.float64)


def _share(right: NDArray[np.bool_], where: NDArray[np.bool_]) -> float | None:
    return float(right[where].mean()) if where.any() else None


def _least(shares: list[float | None]) -> float | None:
    """Return the least of the shares that there are."""
    return min((share for share in shares if share is not None), default=None)
