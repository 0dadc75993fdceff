"""Sizes of weight tensors: is an RNN like those of its own cell and size in the zoo."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from wsrl.analysis.calibration import Placement
from wsrl.data import ZooDataModule
from wsrl.rnn import BlackBox, MixedRNNs, RNNs, RNNSpec, RNNWeights


class Deviations(NamedTuple):
    """How far the tensors' sizes of an RNN are from the mean of its like, by name.

    In standard deviations; the largest among those of validation RNNs.
    """

    tensors: dict[str, float]
    placement: Placement | None

    @property
    def largest(self) -> str:
        """The name of the tensor that deviates most; empty where there is none to compare."""
        return max(self.tensors, key=lambda name: abs(self.tensors[name]), default="")


def most_tensors(specs: tuple[RNNSpec, ...]) -> int:
    """Return how many tensors an RNN of these specs has at most."""
    return max(len(spec.tensors) for spec in specs)


def tensor_sizes(rnns: RNNs, count: int) -> Tensor:
    """Return the log root mean square of every weight tensor of ``B`` RNNs, ``(B, count)``.

    NaN beyond the tensors that an RNN has.
    """
    if isinstance(rnns, MixedRNNs):
        return rnns.join([tensor_sizes(group, count) for group in rnns.groups])
    if isinstance(rnns, BlackBox):
        return torch.full((len(rnns), count), math.nan, dtype=torch.float64)
    parts = [tensor.flatten(1).double() for tensor in rnns.tensors().values()]
    sizes = torch.stack([part.square().mean(1).sqrt() for part in parts], 1)
    return functional.pad(sizes.clamp(min=1e-12).log(), (0, count - len(parts)), value=math.nan)


def compare_sizes(rnn: RNNs, sizes: Tensor, data: ZooDataModule) -> Deviations:
    """Compare one RNN with those of the zoo that have its spec; there may be none.

    ``sizes`` are of all of the zoo, as of ``tensor_sizes``.
    """
    if not isinstance(rnn, RNNWeights):
        return Deviations({}, None)
    alike = torch.tensor(
        [each == rnn.spec for each in data.zoo.spec_of(torch.arange(len(data.zoo)))]
    )
    held_out = torch.from_numpy(data.rows("validation"))
    held_out = held_out[alike[held_out]]
    if not len(held_out) or int(alike.sum()) < 2:
        return Deviations({}, None)
    names = [tensor.name for tensor in rnn.spec.tensors]
    sizes = sizes[:, : len(names)]
    mean, spread = sizes[alike].mean(0), sizes[alike].std(0).clamp(min=1e-6)
    deviations = ((tensor_sizes(rnn, len(names)) - mean) / spread)[0]
    theirs = ((sizes[held_out] - mean) / spread).abs().amax(1)
    placement = Placement.among(float(deviations.abs().max()), theirs)
    return Deviations(dict(zip(names, deviations.tolist(), strict=True)), placement)
