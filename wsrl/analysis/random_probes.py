"""What RNNs answer to inputs that were drawn at random, the same for all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from wsrl.rnn import RNNWeights, run_population

TOGETHER = 256
"""RNNs that run at once; of more, memory would be all that grows."""


def draw_probes(
    count: int, length: int, inputs: int, activation: str, generator: torch.Generator
) -> Tensor:
    """Draw probing sequences ``(P, T, I)`` in the range that an encoder's learned ones have.

    By ``input_activation`` of a probing encoder: ``softmax`` draws tokens (one-hot), ``sigmoid``
    values in [0, 1), ``tanh`` in [-1, 1), ``identity`` normal ones; others are a ``ValueError``.
    """
    shape = (count, length, inputs)
    if activation == "softmax":
        tokens = torch.randint(inputs, shape[:2], generator=generator)
        return torch.nn.functional.one_hot(tokens, inputs).float()
    if activation == "identity":
        return torch.randn(shape, generator=generator)
    if activation not in ("sigmoid", "tanh"):
        raise ValueError(
            f"unknown activation {activation!r}; choose one of softmax, sigmoid, tanh, identity"
        )
    values = torch.rand(shape, generator=generator)
    return values if activation == "sigmoid" else 2 * values - 1


@torch.no_grad()
def answers(weights: RNNWeights, probes: Tensor) -> Tensor:
    """Return the raw outputs of ``B`` RNNs for the same ``probes (P, T, I)``: ``(B, P, T, O)``."""
    parts = (RNNWeights(flat, weights.spec) for flat in weights.flat.split(TOGETHER))
    return torch.cat([run_population(p, probes.expand(len(p), *probes.shape))[0] for p in parts])
