"""A deep-weight-space network: layers equivariant to permutations of hidden neurons.

One rule over the axis labels of ``RNNSpec.tensors`` makes them: axes with one label are the same
neurons, whichever tensors they belong to. No layer or cell is a case of its own.

Source: Navon et al. 2023 (DWSNets) and Zhou et al. 2023 (neural functionals), for RNNs as in
Herrmann et al. 2024, section on deep weight space networks.
"""

from collections import Counter
from typing import ClassVar

import torch
from torch import Tensor, nn

from wsrl.encoders.base import Encoder, Mlp, check_sizes
from wsrl.encoders.registry import register_encoder
from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.spec import INPUT, OUTPUT

FIXED_AXES = (INPUT, OUTPUT)
"""Labels of the axes whose neurons have an identity: they cannot be permuted."""


class EquivariantLinear(nn.Module):
    """A linear map of weights to weights, equivariant to permutations along every label.

    Tensor ``t`` of the result is the sum of

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

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Map tensors ``(B, *sizes, inputs)``, in the spec's order, to ``(B, *sizes, outputs)``."""
        pooled, means = self._pool(tensors)
        shifts = self.from_means(torch.cat(means, -1)).chunk(len(tensors), -1)
        terms = {
            label: iter(self.along_axes[label](torch.cat(parts, -1)).chunk(len(parts), -1))
            for label, parts in pooled.items()
        }
        results = []
        for tensor, axes, pointwise, shift in zip(
            tensors, self.axes, self.pointwise, shifts, strict=True
        ):
            along = [_lay_along(next(terms[label]), i, tensor.ndim) for i, label in enumerate(axes)]
            along[0] = along[0] + _lay_along(shift[:, None], 0, tensor.ndim)
            result = pointwise(tensor)
            for term in along:
                result += term  # in place: these are large, and a sum's gradient needs no operand
            results.append(result)
        return results

    def _pool(self, tensors: list[Tensor]) -> tuple[dict[str, list[Tensor]], list[Tensor]]:
        """Return the means along every axis by label, each ``(B, n, C)``, and the global ones."""
        pooled: dict[str, list[Tensor]] = {}
        means = []
        for tensor, axes in zip(tensors, self.axes, strict=True):
            sizes = range(len(axes))
            along = [_mean(tensor, [other + 1 for other in sizes if other != i]) for i in sizes]
            for label, part in zip(axes, along, strict=True):
                pooled.setdefault(label, []).append(part)
            means.append(_mean(along[0], [1]))
        return pooled, means


class DeepWeightSpaceLayer(nn.Module):
    """``EquivariantLinear``, then ReLU; first embeddings of input and output neurons are added.

    Those neurons cannot be permuted, and so become distinguishable.
    """

    def __init__(self, spec: RNNSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self.axes = tuple(tensor.axes for tensor in spec.tensors)
        sizes = {INPUT: spec.input_size, OUTPUT: spec.output_size}
        self.neurons = nn.ParameterDict(
            {label: nn.Parameter(0.1 * torch.randn(sizes[label], inputs)) for label in FIXED_AXES}
        )
        self.linear = EquivariantLinear(spec, inputs, outputs)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Map tensors ``(B, *sizes, inputs)``, in the spec's order, to ``(B, *sizes, outputs)``."""
        marked = []
        for tensor, axes in zip(tensors, self.axes, strict=True):
            for axis, label in enumerate(axes):
                if label in FIXED_AXES:
                    tensor = tensor + _lay_along(self.neurons[label][None], axis, tensor.ndim)
            marked.append(tensor)
        return [result.relu_() for result in self.linear(marked)]


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
        tensors = self.layers(as_channels(weights))
        means = [_mean(tensor, list(range(1, tensor.ndim - 1))) for tensor in tensors]
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


def _lay_along(values: Tensor, axis: int, ndim: int) -> Tensor:
    """View ``(B, n, C)`` so that ``n`` lies along ``axis`` of a tensor ``(B, *sizes, C)``."""
    shape = [values.shape[0], *[1] * (ndim - 2), values.shape[2]]
    shape[axis + 1] = values.shape[1]
    return values.view(shape)


def _mean(values: Tensor, axes: list[int]) -> Tensor:
    """Average over axes; the same as ``Tensor.mean``, whose gradient fills a full tensor more."""
    if not axes:
        return values
    total = values.sum(axes)
    return total * (total.numel() / values.numel())
