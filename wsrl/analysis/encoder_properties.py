"""What an encoder tells apart, and what it costs: measured, not claimed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from wsrl.analysis.rnn_pairs import Pair, make_pairs, random_rnns
from wsrl.encoders import Encoder, create_encoder
from wsrl.rnn import RNNSpec, RNNWeights

ROUNDING = 1e-7
"""Relative changes of an embedding up to this are rounding: all is computed in float64."""

HIDDEN_SIZES = (8, 16, 32, 64)  # where cost is measured, unless told otherwise


class Change(NamedTuple):
    """How an embedding changes over several pairs: ``|E(other) - E(one)| / |E(one)|``."""

    smallest: float
    largest: float

    @property
    def told_apart(self) -> bool:
        """Whether every pair is told apart, by more than rounding."""
        return self.smallest > ROUNDING


def measure_encoder(
    name: str,
    spec: RNNSpec,
    sizes: Sequence[int] = HIDDEN_SIZES,
    draws: int = 4,
    rnns: int = 64,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure an encoder with its default options and fresh weights, on the CPU.

    Args:
        name: of the encoder, or its class path.
        spec: the RNNs it is to tell apart; of others, only the hidden size differs.
        sizes: hidden sizes at which the cost is measured, at least two.
        draws: pairs of each kind.
        rnns: how many are encoded at once where time is measured.
        repeats: times that it is measured, after once for nothing.
        seed: of the encoder's weights and of the RNNs.

    Returns:
        Plain values by kind of pair (``make_pairs``): ``changes``, the largest, and
        ``tells_apart``; ``same_function``, the kinds of which both RNNs compute the same; by hidden
        size ``parameters``, and ``seconds`` of one forward and backward pass; ``growth``, the
        exponents with which these two grow with the size.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"growth needs at least two hidden sizes, not {list(sizes)}")
    encoder = _fresh(name, spec, seed)
    generator = torch.Generator().manual_seed(seed)
    pairs = make_pairs(random_rnns(spec, draws, generator), generator)
    parameters: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for size in sizes:
        grown = replace(spec, hidden_size=size)
        batch = random_rnns(grown, rnns, generator).to("cpu", torch.float32)
        larger = _fresh(name, grown, seed)
        parameters[size] = sum(parameter.numel() for parameter in larger.parameters())
        seconds[size] = measure_seconds(larger, batch, repeats)
    changes = measure_changes(encoder, pairs)
    costs = {"parameters": parameters, "seconds": seconds}
    return {
        "changes": {kind: change.largest for kind, change in changes.items()},
        "tells_apart": {kind: change.told_apart for kind, change in changes.items()},
        "same_function": [kind for kind, pair in pairs.items() if pair.same_function],
        **{
            name: {str(size): value for size, value in cost.items()} for name, cost in costs.items()
        },
        "growth": {name: growth(cost) for name, cost in costs.items()},
    }


@torch.no_grad()
def measure_changes(encoder: Encoder, pairs: Mapping[str, Pair]) -> dict[str, Change]:
    """Measure how far the embeddings of pairs lie apart; the encoder is left in float64."""
    encoder = encoder.double()
    found = {}
    for kind, pair in pairs.items():
        one, other = (encoder(part.to(encoder.device, torch.float64)) for part in pair[:2])
        size = one.norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
        changes = (other - one).norm(dim=1) / size
        found[kind] = Change(float(changes.min()), float(changes.max()))
    return found


def measure_seconds(encoder: Encoder, weights: RNNWeights, repeats: int) -> float:
    """Measure one forward and backward pass over RNNs: the fastest, the first one not counted."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        embedding = encoder(weights)
        if embedding.requires_grad:  # not where there is nothing to learn
            embedding.square().sum().backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def growth(values: Mapping[int, float]) -> float:
    """Fit ``values ~ sizes ** exponent`` by least squares of the logarithms; 0 where all are 0."""
    if not any(values.values()):
        return 0.0
    return float(np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)[0])


def _fresh(name: str, spec: RNNSpec, seed: int) -> Encoder:
    """Make an encoder without dropout, of its seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_encoder(name, spec).eval()
