"""RNNs whose dynamics are known, and states of theirs."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights


def rnn(recurrent: ArrayLike, cell: str = "tanh", inward: float = 1.0) -> RNNWeights:
    """One RNN with one input, which all neurons hear; no biases."""
    matrix = torch.as_tensor(np.asarray(recurrent), dtype=torch.float64)
    spec = RNNSpec(cell, 1, len(matrix), 1, 1)
    weights = RNNWeights(torch.zeros(1, spec.num_parameters, dtype=torch.float64), spec)
    tensors = weights.tensors()
    tensors["rnn.weight_hh_l0"].copy_(matrix)
    tensors["rnn.weight_ih_l0"].fill_(inward)
    if "rnn.alpha_l0" in tensors:
        tensors["rnn.alpha_l0"].fill_(0.2)
    return weights


def drawn_states(size: int, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, count, size, generator=generator, dtype=torch.float64) * 2 - 1


def with_eigenvalues(*values: float) -> NDArray[np.float64]:
    """A matrix with orthogonal eigenvectors."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(len(values),) * 2))[0]
    return basis @ np.diag(values) @ basis.T


def ring(size: int = 32) -> NDArray[np.float64]:
    """Neurons on a circle excite those near them and inhibit those opposite."""
    angles = np.arange(size) * 2 * np.pi / size
    return 4 / size * np.cos(angles[:, None] - angles)


def rotation(angle: float, gain: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return gain * np.array([[cosine, -sine], [sine, cosine]])


def chaotic(size: int = 64) -> NDArray[np.float64]:
    """Sompolinsky, Crisanti and Sommers 1988: g = 3."""
    return np.random.default_rng(0).normal(size=(size, size)) * 3 / math.sqrt(size)
