"""One layer for networks that read matrices: a map of every entry, with means for the next layer.

On the CPU one pass of compiled kernels does all of it while a matrix is in the cache; elsewhere
PyTorch does it term by term.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from wsrl.rnn.backends import kernels_serve
from wsrl.rnn.kernels import cpu
from wsrl.rnn.kernels.functions import differentiate_once


class Pooled(NamedTuple):
    """Tensors of channels, and for each axis the means over all the others."""

    values: Tensor  # (B, *sizes, C), of one or two sizes
    along: tuple[Tensor, ...]  # (B, size, C) for each of the sizes


def pool(values: Tensor) -> Pooled:
    """Take the means of ``values (B, *sizes, C)`` along each axis.

    >>> [part.shape for part in pool(torch.rand(2, 3, 5, 4)).along]
    [torch.Size([2, 3, 4]), torch.Size([2, 5, 4])]
    """
    axes = range(1, values.ndim - 1)
    others = [[other for other in axes if other != axis] for axis in axes]
    return Pooled(values, tuple(mean_over(values, dropped) for dropped in others))


def mean_over(values: Tensor, axes: list[int]) -> Tensor:
    """Average over axes; the same as ``Tensor.mean``, whose gradient fills a full tensor more.

    >>> mean_over(torch.tensor([[1.0, 3.0]]), [1])
    tensor([2.])
    """
    if not axes:
        return values
    total = values.sum(axes)
    return total * (total.numel() / values.numel())


def map_entries(values: Tensor, weight: Tensor, along: list[Tensor]) -> Pooled:
    """Map every entry, add a term for each axis, take ReLU and pool.

    Args:
        values: ``(B, *sizes, I)``, of one or two sizes.
        weight: ``(O, I)``.
        along: for each size a term ``(B, size, O)``, the same wherever the other index is.

    Raises:
        ValueError: for shapes that do not belong together.

    Example:
        >>> values, weight = torch.rand(2, 3, 5, 4), torch.rand(6, 4)
        >>> result, means = map_entries(values, weight, [torch.rand(2, 3, 6), torch.rand(2, 5, 6)])
        >>> result.shape, means[1].shape
        (torch.Size([2, 3, 5, 6]), torch.Size([2, 5, 6]))
    """
    batch, *sizes, inputs = values.shape
    wanted = [(len(weight), inputs), *((batch, size, len(weight)) for size in sizes)]
    if [part.shape for part in (weight, *along)] != wanted:
        shapes = ", ".join(str(tuple(part.shape)) for part in (values, weight, *along))
        raise ValueError(
            "values, weight and a term for each size must be (B, *sizes, I), (O, I) and "
            f"(B, size, O), not {shapes}"
        )
    if len(along) == 2 and kernels_serve("auto", values, weight, *along, kind="matrices"):
        mapped, *means = _MapMatrices.apply(values, weight, *along)  # type: ignore[no-untyped-call]
        return Pooled(mapped, tuple(means))
    result = torch.nn.functional.linear(values, weight)
    for axis, term in enumerate(along):
        # In place: these are large, and a sum's gradient needs no operand.
        result += lay_along(term, axis, values.ndim)
    return pool(result.relu_())


def lay_along(values: Tensor, axis: int, ndim: int) -> Tensor:
    """View ``(B, n, C)`` so that ``n`` lies along ``axis`` of a tensor ``(B, *sizes, C)``.

    >>> lay_along(torch.rand(2, 5, 4), axis=1, ndim=4).shape
    torch.Size([2, 1, 5, 4])
    """
    shape = [values.shape[0], *[1] * (ndim - 2), values.shape[2]]
    shape[axis + 1] = values.shape[1]
    return values.view(shape)


class _MapMatrices(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, of_rows: Tensor, of_columns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        dense = tuple(part.contiguous() for part in (values, weight, of_rows, of_columns))
        mapped, row_means, column_means = cpu.map_matrices(*dense)
        ctx.save_for_backward(*dense[:2], mapped)
        ctx.set_materialize_grads(False)
        return mapped, row_means, column_means

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        differentiate_once()
        values, weight, mapped = ctx.saved_tensors
        d_mapped = None if given[0] is None else given[0].contiguous()
        d_row_means, d_column_means = (
            mapped.new_zeros(len(mapped), size, len(weight)) if part is None else part.contiguous()
            for part, size in zip(given[1:], mapped.shape[1:3], strict=True)
        )
        d_values = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        saved = (values, weight, mapped)
        others = cpu.map_matrices_backward(saved, d_mapped, d_row_means, d_column_means, d_values)
        return d_values, *others
