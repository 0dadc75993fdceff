"""RNNs made of given memories: their mechanism is known, since it was written into their weights.

Linear ones, and such as keep their variables by saturation. After the theory of
variable memories: Karuvally, Delmastro, Siegelmann (2023, arXiv 2310.02430).
"""

import numpy as np
import torch

from wsrl.analysis.spectra import Matrix
from wsrl.analysis.variable_memory import Interactions
from wsrl.rnn import RNNSpec, RNNWeights, linearize, state_size


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

    >>> from wsrl.analysis.variable_memory import Interactions
    >>> task = Interactions.of_task(np.eye(1, 2))  # repeat the number before the last
    >>> str(circuit(task, np.eye(task.rank)).spec)
    'linear 1x2, 1 inputs, 1 outputs, no biases'
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
    if flat.numel() == spec.num_parameters:
        weights = RNNWeights(flat[None], spec)
        line = linearize(weights, weights.flat.new_zeros(1, state_size(spec)))
        if torch.allclose(line.recurrent, weights.tensor(spec.tensors[1])):
            return weights
    raise ValueError(f"circuits need a cell that is linear near zero, as tanh is, not {cell!r}")


def saturating_circuit(
    interactions: Interactions, directions: Matrix, gain: float, drive: float = 3.0, seed: int = 0
) -> RNNWeights:
    """Write variables into the weights of a tanh RNN that keeps their size by saturation.

    The state that holds ``v`` is ``h = tanh(gain * E v)``; ``W_hh = gain * E Phi D`` and
    ``W_r = R D``, where ``D`` reads variables of -1 and 1 best, by least squares. An input is
    ``drive`` times as large as what the task writes, so that it takes its place: unlike a linear
    circuit, this one does any task from its inputs. How well it does it depends on ``D``; with
    directions of one variable each it does it exactly.

    Args:
        interactions: the task's.
        directions: ``E (n, r)``: which variables a neuron holds, the newest apart from others.
        gain: above 1, or variables fade.
        drive: above 1.
        seed: of the contents on which ``D`` is fitted.

    Returns:
        One RNN without biases, float64, with ``n`` hidden neurons.

    Raises:
        ValueError: for directions of other variables, or that mix newest ones with others.

    >>> from wsrl.analysis.variable_memory import Interactions
    >>> task = Interactions.of_task(np.eye(1, 2))  # repeat the number before the last
    >>> str(saturating_circuit(task, np.eye(task.rank), gain=2.0).spec)
    'tanh 1x2, 1 inputs, 1 outputs, no biases'
    """
    rank, places = interactions.rank, interactions.newest_places
    if directions.shape[1:] != (rank,):
        raise ValueError(
            f"the task has {rank} variables: directions (n, {rank}), not {directions.shape}"
        )
    newest = directions[:, places]
    mixed = newest.any(1) & np.delete(directions, places, 1).any(1)
    if mixed.any():
        raise ValueError(
            f"neurons of newest variables hold no others: rows {np.flatnonzero(mixed)} do"
        )
    contents = np.random.default_rng(seed).choice([-1.0, 1.0], (4096, rank))
    held = np.tanh(gain * contents @ directions.T)
    dual = np.linalg.lstsq(held, contents, rcond=1e-8)[0].T
    inputs = np.zeros((len(directions), interactions.dims))
    inputs[:, interactions.newest] = drive * gain * newest
    parts = (inputs, gain * directions @ interactions.reduced @ dual, interactions.readout @ dual)
    spec = RNNSpec("tanh", interactions.dims, len(directions), 1, interactions.dims, bias=False)
    flat = np.concatenate([part.ravel() for part in parts])
    return RNNWeights(torch.from_numpy(flat)[None], spec)
