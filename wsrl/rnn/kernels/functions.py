"""The kernels with their gradients, as functions that autograd knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.spec import RNNSpec
from wsrl.rnn.weights import RNNWeights

Eager: TypeAlias = Callable[..., Any]
"""The same computation in PyTorch, for gradients of gradients."""


class RunKernels(Protocol):
    """What runs a population; as the functions of ``cpu``."""

    def run(
        self,
        spec: RNNSpec,
        flat: Tensor,
        inputs: Tensor,
        state: tuple[Tensor, ...] | None,
        save: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """Run a population."""

    def run_backward(
        self,
        spec: RNNSpec,
        flat: Tensor,
        inputs: Tensor,
        saved: Tensor,
        d_outputs: Tensor | None,
        d_last: tuple[Tensor | None, ...],
        d_flat: Tensor | None,
        d_inputs: Tensor | None,
        d_first: tuple[Tensor, ...] | None,
    ) -> None:
        """Write the gradients of ``run``."""


class Kernels(RunKernels, Protocol):
    """What a module of kernels must have: the functions of ``cpu``, for tensors where it can.

    Attributes:
        KERNELS: by the name of a cell, what the module needs to know of it.
    """

    KERNELS: Mapping[str, Any]

    def cross_entropy(
        self,
        spec: RNNSpec,
        flat: Tensor,
        inputs: Tensor,
        targets: Tensor,
        weights: Tensor,
        gradient: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Return losses and their gradient."""

    def adamw(
        self,
        flat: Tensor,
        mean: Tensor,
        square: Tensor,
        gradient: Tensor,
        kept: Tensor,
        numbers: tuple[float, float, float, float, float],
    ) -> None:
        """Update weights in place."""


class CrossEntropy(torch.autograd.Function):
    """The losses; their gradient to the weights is computed along with them and waits."""

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
        losses, gradient = kernels.cross_entropy(spec, dense, inputs, targets, weights, wanted)
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
        kernels: RunKernels,
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
            return _differentiable(ctx, (flat, inputs, *state), (d_outputs, *d_last))
        given = [None if part is None else part.contiguous() for part in (d_outputs, *d_last)]
        d_flat = flat.new_empty(flat.shape) if needed[0] else None
        d_inputs = inputs.new_empty(inputs.shape) if needed[1] else None
        d_first = tuple(part.new_empty(part.shape) for part in state) if any(needed[5:]) else None
        fixed = (flat.contiguous(), inputs.contiguous(), saved)
        last = tuple(given[1:])
        ctx.kernels.run_backward(ctx.spec, *fixed, given[0], last, d_flat, d_inputs, d_first)
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
