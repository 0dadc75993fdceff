"""Whether an RNN is like those that an encoder was trained on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsrl.analysis.calibration import FEWEST, Placement
from wsrl.rnn import RNNWeights
from wsrl.studies.inspection.records import Fit, Imitation


def tensor_sizes(weights: RNNWeights) -> Tensor:
    """Return the log root mean square of every weight tensor of ``B`` RNNs, ``(B, tensors)``."""
    parts = [tensor.flatten(1).double() for tensor in weights.tensors().values()]
    return torch.stack([part.square().mean(1).sqrt() for part in parts], 1).clamp(min=1e-12).log()


def judge(
    weights: RNNWeights,
    distance: Placement,
    imitation: Imitation,
    sizes: Tensor,
    held_out: NDArray[np.int64],
) -> Fit:
    """Judge one RNN by its place among the zoo's, the sizes of its weights and its imitation.

    Args:
        weights: the RNN, ``(1, N)``.
        distance: to its nearest RNN of the zoo.
        imitation: by the emulator.
        sizes: ``(n, tensors)``, of the weight tensors of the zoo's RNNs.
        held_out: rows of the validation RNNs.
    """
    mean, spread = sizes.mean(0), sizes.std(0).clamp(min=1e-6)
    deviations = ((tensor_sizes(weights) - mean) / spread)[0]
    theirs = ((sizes[torch.from_numpy(held_out)] - mean) / spread).abs().amax(1)
    size = Placement.among(float(deviations.abs().max()), theirs)
    names = [tensor.name for tensor in weights.spec.tensors]
    reasons = []
    if distance.extreme:
        reasons.append("its embedding is further from all RNNs of the zoo than theirs are")
    if size.extreme:
        largest = names[int(deviations.abs().argmax())]
        reasons.append(f"its weights are of another size than the zoo's, {largest} most of all")
    if imitation.zoo.extreme:
        reasons.append("the emulator imitates it worse than the zoo's on the zoo's sequences")
    if imitation.own is not None and imitation.own.extreme:
        reasons.append("the emulator imitates it worse than the zoo's on its own sequences")
    return Fit(
        verdict="outside" if reasons else "within" if len(held_out) >= FEWEST else "unknown",
        reasons=tuple(reasons),
        distance=distance,
        weights=size,
        tensors=dict(zip(names, deviations.tolist(), strict=True)),
    )
