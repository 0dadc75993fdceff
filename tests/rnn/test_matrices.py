"""The map of a matrix's entries: kernels agree with PyTorch, term by term in double precision."""

import pytest
import torch
from torch import Tensor

from wsrl.rnn.kernels import compilation
from wsrl.rnn.matrices import map_entries, mean_over, pool

kernels = compilation.library("matrices")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))
# More and fewer entries than are mapped at once; channels that do and do not fill vectors.
SIZES = [
    (2, 3, 5, 3, 7),
    (2, 32, 32, 48, 48),
    (1, 1, 130, 17, 20),
    (2, 70, 1, 5, 48),
    (1, 8, 6, 16, 1),
]


def draw(batch: int, rows: int, columns: int, inputs: int, outputs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rows)
    shapes = ((batch, rows, columns, inputs), (outputs, inputs), (batch, rows, outputs))
    drawn = [
        torch.randn(shape, generator=generator) for shape in (*shapes, (batch, columns, outputs))
    ]
    drawn[1] /= inputs**0.5
    return drawn


def defined(values: Tensor, weight: Tensor, of_rows: Tensor, of_columns: Tensor) -> list[Tensor]:
    result = values @ weight.T + of_rows[:, :, None] + of_columns[:, None]
    result = result.relu()
    return [result, result.mean(2), result.mean(1)]


def mapped(values: Tensor, weight: Tensor, *along: Tensor) -> list[Tensor]:
    result, means = map_entries(values, weight, list(along))
    return [result, *means]


def used_gradients(
    results: list[Tensor], leaves: list[Tensor], used: tuple[int, ...]
) -> list[Tensor]:
    """Return gradients of a random direction in some of the results."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(part.shape, generator=generator).to(part) for part in results]
    total = sum((results[i] * draws[i]).sum() for i in used)
    return list(torch.autograd.grad(total, leaves, retain_graph=True))


@needs_kernels
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("used", [(0, 1, 2), (1, 2), (0,), (2,)], ids=str)
def test_kernels_equal_the_definition_in_values_and_gradients(
    sizes: tuple[int, ...], used: tuple[int, ...]
) -> None:
    leaves = [part.requires_grad_() for part in draw(*sizes)]
    exact = [part.detach().double().requires_grad_() for part in leaves]
    ours, truth = mapped(*leaves), defined(*exact)
    assert "_MapMatrices" in type(ours[0].grad_fn).__name__
    found, wanted = ((*r, *used_gradients(r, x, used)) for r, x in ((ours, leaves), (truth, exact)))
    for one, other in zip(found, wanted, strict=True):
        allowed = 1e-5 * float(other.detach().abs().max()) + 1e-30
        torch.testing.assert_close(one.double(), other, rtol=0, atol=allowed)


@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_pytorch_equals_the_definition_in_values_and_gradients(sizes: tuple[int, ...]) -> None:
    leaves = [part.double().requires_grad_() for part in draw(*sizes)]
    ours, truth = mapped(*leaves), defined(*leaves)
    assert "_MapMatrices" not in type(ours[0].grad_fn).__name__
    found, wanted = ((*r, *used_gradients(r, leaves, (0, 1, 2))) for r in (ours, truth))
    torch.testing.assert_close(found, wanted)


@needs_kernels
def test_views_and_gradients_of_any_strides_and_without_values() -> None:
    values, weight, of_rows, of_columns = draw(2, 4, 5, 3, 6)
    turned = values.movedim(-1, 1).contiguous().movedim(1, -1)
    assert not turned.is_contiguous()
    leaf = weight.requires_grad_()
    results = []
    for given in (values, turned):
        result, _ = map_entries(given, leaf, [of_rows, of_columns])
        (gradient,) = torch.autograd.grad(result.transpose(1, 2).sum(), leaf)  # expanded: stride 0
        results.append((result, gradient))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@needs_kernels
def test_threads_and_other_matrices_do_not_matter() -> None:
    values, weight, of_rows, of_columns = draw(5, 6, 7, 4, 9)
    together, _ = map_entries(values, weight, [of_rows, of_columns])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again, _ = map_entries(values, weight, [of_rows, of_columns])
    finally:
        torch.set_num_threads(threads)
    alone, _ = map_entries(values[3:4], weight, [of_rows[3:4], of_columns[3:4]])
    assert torch.equal(together, again)
    assert torch.equal(together[3:4], alone)


@needs_kernels
def test_what_is_not_finite_stays_in_its_matrix() -> None:
    values, weight, *along = draw(3, 4, 5, 3, 6)
    values[1, 2, 3, 0] = float("nan")
    result, (row_means, column_means) = map_entries(values, weight, along)
    assert result[1, 2, 3].isnan().all()
    assert int(result.isnan().sum()) == 6
    assert row_means[1, 2].isnan().all()
    assert int(row_means.isnan().sum()) == int(column_means.isnan().sum()) == 6


@needs_kernels
def test_gradients_are_not_differentiable_in_turn() -> None:
    values, weight, *along = draw(1, 2, 3, 3, 4)
    leaf = weight.requires_grad_()
    result, _ = map_entries(values, leaf, along)
    with pytest.raises(RuntimeError, match="cannot be differentiated in turn"):
        torch.autograd.grad(result.sum(), leaf, create_graph=True)


@pytest.mark.parametrize("sizes", [(3,), (3, 4)], ids=str)
def test_pooling_is_averaging(sizes: tuple[int, ...]) -> None:
    values = torch.randn(2, *sizes, 5, dtype=torch.float64)
    for axis, means in enumerate(pool(values).along):
        others = [other + 1 for other in range(len(sizes)) if other != axis]
        torch.testing.assert_close(means, values.mean(others) if others else values)
    torch.testing.assert_close(mean_over(values, [1]), values.mean(1))


def test_what_does_not_belong_together_is_refused() -> None:
    values, weight, of_rows, of_columns = draw(2, 4, 5, 3, 6)
    wrong = [
        (weight.T, [of_rows, of_columns]),
        (weight, [of_columns, of_rows]),
        (weight, [of_rows[:1], of_columns]),
        (weight, [of_rows]),
    ]
    for matrix, along in wrong:
        with pytest.raises(ValueError, match=r"must be \(B, \*sizes, I\), .*not \(2, 4, 5, 3\)"):
            map_entries(values, matrix, along)
