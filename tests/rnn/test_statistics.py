"""The seven numbers of a tensor, against numpy; those of the kernels against those of PyTorch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from wsrl.rnn import RNNSpec, RNNWeights
from wsrl.rnn.kernels import compilation
from wsrl.rnn.statistics import QUANTILES, statistics, weight_statistics

found = compilation.library("statistics")
needs_kernels = pytest.mark.skipif(isinstance(found, Exception), reason=str(found))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 57])
def test_statistics_equal_numpy(size: int) -> None:
    values = torch.randn(3, size, generator=torch.Generator().manual_seed(size)).double()
    array = values.numpy()
    quantiles = np.quantile(array, [0, 0.25, 0.5, 0.75, 1], axis=1)
    expected = np.stack([array.mean(1), array.var(1), *quantiles], 1)
    np.testing.assert_allclose(statistics(values).numpy(), expected, rtol=0, atol=1e-12)


# Tensors of 1, 2, 3, ... and of many numbers.
SIZES = [(1, 1, 1, 1), (2, 3, 1, 2), (5, 7, 2, 3), (6, 32, 2, 6), (16, 61, 1, 10)]
KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda normal: normal,
    "far from zero": lambda normal: normal + 1e6,
    "heavy": lambda normal: normal**9,  # nearly all numbers are near 0
    "tied": lambda normal: normal.mul(2).round(),
    "equal": lambda normal: normal * 0 - 0.7,
    "tiny": lambda normal: normal * 1e-31,
    "vast": lambda normal: normal * 1e37,
}


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_kernels_equal_torch_in_double_precision(kind: str, sizes: tuple[int, ...]) -> None:
    spec = RNNSpec("gru", *sizes)
    normal = torch.randn(5, spec.num_parameters, generator=torch.Generator().manual_seed(0))
    weights = RNNWeights(KINDS[kind](normal), spec)
    ours = weight_statistics(weights, "cpu").double()
    for position, tensor in enumerate(spec.tensors):
        values = weights.tensor(tensor).flatten(1).double()
        places = torch.tensor(QUANTILES, dtype=torch.float64)
        wanted = torch.quantile(values, places, dim=1).T
        scale = float(values.abs().max())
        close = {"rtol": 0, "atol": 1e-6 * scale}
        torch.testing.assert_close(ours[:, position, 0], values.mean(1), **close)
        torch.testing.assert_close(ours[:, position, 2:], wanted, **close)
        if kind not in ("vast", "tiny"):  # squares of these are no float32
            # As if there were no offset.
            close = {"rtol": 1e-5, "atol": 1e-12 * float((values - values.mean()).abs().max()) ** 2}
            variance = values.var(1, correction=0)
            torch.testing.assert_close(ours[:, position, 1], variance, **close)


def test_backends_that_cannot_do_it_are_refused() -> None:
    spec = RNNSpec("gru", 2, 3, 1, 2)
    weights = RNNWeights(torch.randn(2, spec.num_parameters), spec)
    with pytest.raises(ValueError, match="unknown backend 'quick'"):
        weight_statistics(weights, "quick")
    with pytest.raises(ValueError, match="'triton' has no kernels for statistics"):
        weight_statistics(weights, "triton")
    double = weights.to(torch.float64)
    assert torch.equal(weight_statistics(double), weight_statistics(double, "eager"))
    with pytest.raises(ValueError, match="backend 'cpu' cannot"):
        weight_statistics(double, "cpu")


@needs_kernels
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_what_is_not_finite_is_as_in_torch_and_stays_with_its_tensor(
    bad: float, count: int
) -> None:
    spec = RNNSpec("lstm", 3, 9, 1, 4)
    flat = torch.randn(3, spec.num_parameters, generator=torch.Generator().manual_seed(1))
    clean = weight_statistics(RNNWeights(flat.clone(), spec), "cpu")
    flat[1, 5 : 5 + count] = bad  # all in the first tensor
    ours, truth = (weight_statistics(RNNWeights(flat, spec), b) for b in ("cpu", "eager"))
    torch.testing.assert_close(ours[..., 2:], truth[..., 2:], equal_nan=True)
    if bad != 3e38:  # whether sums of such overflow depends on their order
        torch.testing.assert_close(ours[..., :2], truth[..., :2], equal_nan=True)
        assert not ours[1, 0].isfinite().all()
    assert torch.equal(ours[[0, 2]], clean[[0, 2]])
    assert torch.equal(ours[1, 1:], clean[1, 1:])


@needs_kernels
def test_threads_change_nothing() -> None:
    spec = RNNSpec("tanh", 6, 64, 2, 6)
    weights = RNNWeights(torch.randn(9, spec.num_parameters), spec)  # enough for several
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(weight_statistics(weights, "cpu"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)
