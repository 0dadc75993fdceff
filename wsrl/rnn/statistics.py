"""Seven numbers of every parameter tensor: mean, variance and quartiles."""

import torch
from torch import Tensor

from wsrl.rnn.backends import Backend, check_backend, kernels_serve
from wsrl.rnn.kernels import cpu
from wsrl.rnn.weights import RNNWeights

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
NUM_STATISTICS = 2 + len(QUANTILES)


def weight_statistics(weights: RNNWeights, backend: Backend = "auto") -> Tensor:
    """Return the ``statistics`` of the ``K`` tensors of each of ``B`` RNNs, ``(B, K, 7)``.

    The kernels, which ``triton`` lacks, serve where no gradients to the weights are wanted.
    """
    flat = weights.flat
    if backend == "triton":
        raise ValueError("backend 'triton' has no kernels for statistics; try auto")
    check_backend(backend, "statistics", flat)
    wanted = torch.is_grad_enabled() and flat.requires_grad
    if not wanted and kernels_serve(backend, flat, kind="statistics"):
        return cpu.statistics(weights.spec, flat.contiguous())
    parts = [statistics(weights.tensor(tensor).flatten(1)) for tensor in weights.spec.tensors]
    return torch.stack(parts, 1)


def statistics(values: Tensor) -> Tensor:
    """Return seven numbers of each row of ``(B, n)``, as NumPy's; quantiles are interpolated.

    ``(B, 7)``: mean, variance, minimum, lower quartile, median, upper quartile, maximum.
    """
    # One sort serves all quantiles, and unlike torch.quantile has no limit on the size.
    ordered = values.sort(1).values
    places = torch.tensor(QUANTILES, dtype=values.dtype, device=values.device)
    places = places * (values.shape[1] - 1)
    below = places.long()
    above = (below + 1).clamp(max=values.shape[1] - 1)
    quantiles = torch.lerp(
        ordered[:, below], ordered[:, above], (places - below).expand(len(values), -1)
    )
    moments = torch.stack([values.mean(1), values.var(1, correction=0)], 1)
    return torch.cat([moments, quantiles], 1)
