"""A deep-weight-space network: layers equivariant to permutations of hidden neurons.

One rule over the axis labels of ``RNNSpec.tensors`` makes them: axes with one label are the same
neurons, whichever tensors they belong to. No layer or cell is a case of its own.

Source: Navon et al. 2023 (DWSNets) and Zhou et al. 2023 (neural functionals), for RNNs as in
Herrmann et al. 2024, section on deep weight space networks.
"""

from collections import Counter
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.matrices import Pooled, lay_along, map_entries, mean_over, pool
from wsrl.rnn.spec import INPUT, OUTPUT

FIXED_AXES = (INPUT, OUTPUT)
"""Labels of the axes whose neurons have an identity: they cannot be permuted."""


class EquivariantMap(nn.Module):
    """A linear map of weights to weights, equivariant to permutations along every label; then ReLU.

    Tensor ``t`` of the result, before ReLU, is the sum of

    - a linear map of tensor ``t``, position by position;
    - a linear map of the global means of all tensors;
    - for each axis ``a`` of ``t`` and each axis ``b`` of any tensor ``u`` with the same label, a
      linear map of the mean of ``u`` over all its axes but ``b``, laid along ``a``.
    """

    def __init__(self, spec: RNNSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.axes = tuple(tensor.axes for tensor in spec.tensors)
        counts = Counter(label for axes in self.axes for label in axes)
        self.pointwise = nn.ModuleList(_pointwise(inputs, outputs) for _ in self.axes)
        # One matrix holds the maps from all tensors to all tensors (its bias is every tensor's),
        # and one matrix a label those from all axes with the label to all axes with the label.
        self.from_means = nn.Linear(len(self.axes) * inputs, len(self.axes) * outputs)
        self.along_axes = nn.ModuleDict(
            {n: nn.Linear(k * inputs, k * outputs, bias=False) for n, k in counts.items()}
        )

    def forward(self, tensors: list[Pooled]) -> list[Pooled]:
        """Map tensors ``(B, *sizes, inputs)``, in the spec's order, to ``(B, *sizes, outputs)``."""
        pooled: dict[str, list[Tensor]] = {}
        for tensor, axes in zip(tensors, self.axes, strict=True):
            for label, part in zip(axes, tensor.along, strict=True):
                pooled.setdefault(label, []).append(part)
        means = [mean_over(tensor.along[0], [1]) for tensor in tensors]
        shifts = self.from_means(torch.cat(means, -1)).chunk(len(tensors), -1)
        terms = {
            label: iter(self.along_axes[label](torch.cat(parts, -1)).chunk(len(parts), -1))
            for label, parts in pooled.items()
        }
        results = []
        for tensor, axes, pointwise, shift in zip(
            tensors, self.axes, self.pointwise, shifts, strict=True
        ):
            along = [next(terms[label]) for label in axes]
            along[0] = along[0] + shift[:, None]
            results.append(map_entries(tensor.values, cast(Tensor, pointwise.weight), along))
        return results


class DeepWeightSpaceLayer(nn.Module):
    """``EquivariantMap``; first embeddings of input and output neurons are added.

    Those neurons cannot be permuted, and so become distinguishable.
    """

    def __init__(self, spec: RNNSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.axes = tuple(tensor.axes for tensor in spec.tensors)
        sizes = {INPUT: spec.input_size, OUTPUT: spec.output_size}
        self.neurons = nn.ParameterDict(
            {label: nn.Parameter(0.1 * torch.randn(sizes[label], inputs)) for label in FIXED_AXES}
        )
        self.linear = EquivariantMap(spec, inputs, outputs)

    def forward(self, tensors: list[Pooled]) -> list[Pooled]:
        """Map tensors ``(B, *sizes, inputs)``, in the spec's order, to ``(B, *sizes, outputs)``."""
        marked: list[Pooled] = self.linear(list(map(self._mark, tensors, self.axes)))
        return marked

    def _mark(self, tensor: Pooled, axes: tuple[str, ...]) -> Pooled:
        values, along = tensor
        for axis, label in enumerate(axes):
            if label in FIXED_AXES:
                mark = self.neurons[label]
                values = values + lay_along(mark[None], axis, values.ndim)
                added = [mark if other == axis else mark.mean(0) for other in range(len(axes))]
                along = tuple(part + own for part, own in zip(along, added, strict=True))
        return Pooled(values, along)


@register_encoder
class DeepWeightSpace(Encoder):
    """Equivariant layers, the mean over all positions of every tensor, an MLP.

    Gates are channels; a tensor without gates, as the readout, is repeated over them. ReLU follows
    every layer, the last one too: without it the mean over positions would undo all but the global
    part of the last layer.

    Args:
        channels: channels of every layer.
        depth: number of equivariant layers.
        width: size of the MLP's hidden layers.
        mlp_depth: hidden layers of the MLP.
        unit_norm: as of ``Encoder``.
    """

    permutation_invariant: ClassVar[bool] = True

    def __init__(
        self,
        spec: RNNSpec,
        embedding_dim: int = 16,
        channels: int = 48,
        depth: int = 4,
        width: int = 128,
        mlp_depth: int = 1,
        unit_norm: bool = True,
    ) -> None:
        super().__init__(spec, embedding_dim, unit_norm)
        check_sizes(channels=channels, depth=depth, width=width, mlp_depth=mlp_depth)
        inputs = [spec.gates] + [channels] * (depth - 1)
        self.layers = nn.Sequential(*(DeepWeightSpaceLayer(spec, i, channels) for i in inputs))
        self.head = Mlp(len(spec.tensors) * channels, width, mlp_depth, embedding_dim)

    def forward(self, weights: RNNWeights) -> Tensor:
        """Encode ``B`` RNNs; return ``(B, D)``."""
        tensors: list[Pooled] = self.layers([pool(values) for values in as_channels(weights)])
        means = [mean_over(tensor.along[0], [1]) for tensor in tensors]
        embedding: Tensor = self.head(torch.cat(means, -1))
        return embedding


def as_channels(weights: RNNWeights) -> list[Tensor]:
    """Return every tensor with its gates as channels, ``(B, *sizes, gates)``.

    A tensor without gates (the readout) is repeated over the channels; one with fewer gates than
    the cell has zeros in the others.
    """
    gates = weights.spec.gates
    parts = []
    for tensor in weights.spec.tensors:
        value = weights.gated(tensor).movedim(1, -1)
        if 1 < tensor.gates < gates:
            value = nn.functional.pad(value, (0, gates - tensor.gates))
        parts.append(value.expand(*value.shape[:-1], gates))
    return parts


def _pointwise(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias=False)
    # The main path keeps its scale through the layers and their ReLUs.
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    return linear
