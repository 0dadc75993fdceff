"""The kernels as functions of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Eager: TypeAlias = Callable[..., Any]
"""The same computation in PyTorch, for gradients of gradients."""


Kernels: TypeAlias = Any
"""A module of kernels: ``cpu``, or ``gpu`` with functions of the same signatures."""


class CrossEntropy(torch.autograd.Function):
    """The losses. The forward pass also computes and keeps their gradient to the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        flat: Tensor,
        spec: RNNSpec,
        kernels: Kernels,
        eager: Eager,
        data: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Return losses ``(P,)`` for ``data``: inputs, targets and the sequences' weights."""
        inputs, targets, weights = (part.contiguous() for part in data)
        dense = flat.detach().contiguous()
        wanted = ctx.needs_input_grad[0]
        losses: Tensor
        losses, gradient = kernels.cross_entropy(spec, dense, inputs, targets, weights, wanted)
        ctx.spec, ctx.eager, ctx.data = spec, eager, data
        ctx.save_for_backward(flat, gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, d_losses: Tensor) -> tuple[Tensor | None, ...]:
        """Scale each RNN's gradient by that of its loss."""
        flat, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated
            (again,) = differentiable_gradients(
                lambda own: [ctx.eager(RNNWeights(own, ctx.spec), *ctx.data)], [flat], [d_losses]
            )
            return again, None, None, None, None
        if d_losses.is_cpu and bool(d_losses.eq(1).all()):  # looking at a GPU would wait for it
            return gradient, None, None, None, None
        return gradient * d_losses[:, None], None, None, None, None


class Run(torch.autograd.Function):
    """A population's outputs and last state, differentiable by weights, inputs and first state."""

    @staticmethod
    def forward(
        ctx: Any,
        flat: Tensor,
        inputs: Tensor,
        spec: RNNSpec,
        kernels: Kernels,
        eager: Eager,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return ``outputs, *last_state``; no ``state`` stands for zeros."""
        first = tuple(part.contiguous() for part in state) or None
        save = any(ctx.needs_input_grad)
        dense = (flat.contiguous(), inputs.contiguous())
        outputs, last, saved = kernels.run(spec, *dense, first, save)
        ctx.spec, ctx.kernels, ctx.eager = spec, kernels, eager
        ctx.save_for_backward(flat, inputs, saved, *state)
        ctx.set_materialize_grads(False)
        return outputs, *last

    @staticmethod
    def backward(
        ctx: Any, d_outputs: Tensor | None, *d_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of those arguments that need one."""
        flat, inputs, saved, *state = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():
            d_flat, d_inputs, *d_state = differentiable_gradients(
                partial(_run_again, ctx), (flat, inputs, *state), (d_outputs, *d_last)
            )
            return d_flat, d_inputs, None, None, None, *d_state
        given = [None if part is None else part.contiguous() for part in (d_outputs, *d_last)]
        d_flat = flat.new_empty(flat.shape) if needed[0] else None
        d_inputs = inputs.new_empty(inputs.shape) if needed[1] else None
        d_first = tuple(part.new_empty(part.shape) for part in state) if any(needed[5:]) else None
        fixed = (flat.contiguous(), inputs.contiguous(), saved)
        last = tuple(given[1:])
        ctx.kernels.run_backward(ctx.spec, *fixed, given[0], last, d_flat, d_inputs, d_first)
        return d_flat, d_inputs, None, None, None, *(d_first or (None,) * len(state))


def _run_again(ctx: Any, flat: Tensor, inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
    """Compute in PyTorch what ``Run`` returned."""
    outputs, last = ctx.eager(RNNWeights(flat, ctx.spec), inputs, state or None)
    return outputs, *last


def differentiable_gradients(
    function: Callable[..., Sequence[Tensor]],
    arguments: Sequence[Tensor],
    d_results: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Return gradients that can be differentiated in turn.

    Args:
        function: the computation in PyTorch.
        arguments: of the function, of which those that require it get a gradient.
        d_results: the gradients of its results.
    """
    pairs = zip(function(*arguments), d_results, strict=True)
    results, directions = zip(*((r, d) for r, d in pairs if d is not None), strict=True)
    wanted = [part for part in arguments if part.requires_grad]
    found = iter(
        torch.autograd.grad(results, wanted, directions, create_graph=True, allow_unused=True)
    )
    return [next(found) if part.requires_grad else None for part in arguments]
