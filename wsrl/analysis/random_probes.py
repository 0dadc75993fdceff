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
    """Draw probing sequences in the range that an encoder's learned ones have.

    Args:
        count: sequences ``P``.
        length: steps ``T`` of each.
        inputs: size ``I`` of an input.
        activation: as ``input_activation`` of a probing encoder: ``softmax`` draws tokens
            (one-hot), ``sigmoid`` values in [0, 1), ``tanh`` in [-1, 1), ``identity`` normal ones.
        generator: of the draw.

    Returns:
        ``(P, T, I)``.

    Raises:
        ValueError: for an unknown activation.
    """
    if activation == "softmax":
        tokens = torch.randint(inputs, (count, length), generator=generator)
        return torch.nn.functional.one_hot(tokens, inputs).float()
    if activation == "identity":
        return torch.randn(count, length, inputs, generator=generator)
    values = torch.rand(count, length, inputs, generator=generator)
    if activation == "sigmoid":
        return values
    if activation == "tanh":
        return 2 * values - 1
    raise ValueError(
        f"unknown activation {activation!r}; choose one of softmax, sigmoid, tanh, identity"
    )


@torch.no_grad()
def answers(weights: RNNWeights, probes: Tensor) -> Tensor:
    """Return the raw outputs of ``B`` RNNs for the same ``probes (P, T, I)``: ``(B, P, T, O)``."""
    parts = [
        run_population(part, probes.expand(len(part), *probes.shape))[0]
        for part in (
            weights[start : start + TOGETHER] for start in range(0, len(weights), TOGETHER)
        )
    ]
    return torch.cat(parts)
