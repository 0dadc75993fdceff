"""The kernels with their gradients, as functions that autograd knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.kernels import cpu
from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Eager: TypeAlias = Callable[..., Any]
"""The same computation in PyTorch, for gradients of gradients."""


class CrossEntropy(torch.autograd.Function):
    """The losses; their gradient to the weights is computed along with them and waits."""

    @staticmethod
    def forward(
        ctx: Any, flat: Tensor, spec: RNNSpec, eager: Eager, data: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Return losses ``(P,)`` for ``data``: inputs, targets and the sequences' weights."""
        inputs, targets, weights = (part.contiguous() for part in data)
        dense = flat.detach().contiguous()
        wanted = ctx.needs_input_grad[0]
        losses, gradient = cpu.cross_entropy(spec, dense, inputs, targets, weights, wanted)
        ctx.spec, ctx.eager, ctx.data = spec, eager, data
        ctx.save_for_backward(flat, gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, d_losses: Tensor) -> tuple[Tensor | None, ...]:
        """Scale each RNN's gradient by that of its loss."""
        flat, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient itself is to be differentiated
            losses = ctx.eager(RNNWeights(flat, ctx.spec), *ctx.data)
            (again,) = torch.autograd.grad(losses, flat, d_losses, create_graph=True)
            return again, None, None, None
        scaled = gradient if bool(d_losses.eq(1).all()) else gradient * d_losses[:, None]
        return scaled, None, None, None


class Run(torch.autograd.Function):
    """A population's outputs and last state, differentiable by weights, inputs and first state."""

    @staticmethod
    def forward(
        ctx: Any,
        flat: Tensor,
        inputs: Tensor,
        spec: RNNSpec,
        eager: Eager,
        packed: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return ``outputs, *last_state``; no ``state`` stands for zeros.

        ``packed`` are the weights as by ``cpu.pack``, if they have been packed.
        """
        first = tuple(part.contiguous() for part in state) or None
        save = any(ctx.needs_input_grad)
        dense = (flat.contiguous(), packed, inputs.contiguous())
        outputs, last, saved = cpu.run(spec, *dense, first, save)
        ctx.spec, ctx.eager, ctx.packed = spec, eager, packed
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
            return _differentiable(ctx, (flat, inputs, *state), (d_outputs, *d_last))
        given = [None if part is None else part.contiguous() for part in (d_outputs, *d_last)]
        d_flat = torch.empty(flat.shape) if needed[0] else None
        d_inputs = torch.empty(inputs.shape) if needed[1] else None
        d_first = cpu.empty_state(ctx.spec, inputs) if any(needed[5:]) else None
        fixed = (flat.contiguous(), ctx.packed, inputs.contiguous(), saved)
        last = tuple(given[1:])
        cpu.run_backward(ctx.spec, *fixed, given[0], last, d_flat, d_inputs, d_first)
        return d_flat, d_inputs, None, None, None, *(d_first or (None,) * len(state))


def _differentiable(
    ctx: Any, arguments: tuple[Tensor, ...], d_results: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of ``Run`` such that they can be differentiated in turn."""
    flat, inputs, *state = arguments
    outputs, last = ctx.eager(RNNWeights(flat, ctx.spec), inputs, tuple(state) or None)
    pairs = [(r, d) for r, d in zip((outputs, *last), d_results, strict=True) if d is not None]
    wanted = [part for part in arguments if part.requires_grad]
    results, directions = zip(*pairs, strict=True)
    found = iter(
        torch.autograd.grad(results, wanted, directions, create_graph=True, allow_unused=True)
    )
    d_flat, d_inputs, *d_state = (next(found) if p.requires_grad else None for p in arguments)
    return d_flat, d_inputs, None, None, None, *d_state
