"""The kernels as functions of autograd; their gradients are not differentiable in turn."""

from typing import Any, TypeAlias

import torch
from torch import Tensor

from wsrl.rnn.spec import RNNSpec

Kernels: TypeAlias = Any
"""A module of kernels: ``cpu``, or ``gpu`` with functions of the same signatures."""


class CrossEntropy(torch.autograd.Function):
    """The losses. The forward pass also computes and keeps their gradient to the weights."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, spec: RNNSpec, kernels: Kernels, *data: Tensor) -> Tensor:
        """Return losses ``(P,)`` for ``data``: inputs, targets and the sequences' weights."""
        dense = (part.contiguous() for part in (flat.detach(), *data))
        losses: Tensor
        losses, gradient = kernels.cross_entropy(spec, *dense, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, d_losses: Tensor) -> tuple[Tensor | None, ...]:
        """Scale each RNN's gradient by that of its loss."""
        differentiate_once()
        (gradient,) = ctx.saved_tensors
        # Looking at a GPU would wait for it.
        if not (d_losses.is_cpu and bool(d_losses.eq(1).all())):
            gradient = gradient * d_losses[:, None]
        return gradient, None, None, None, None, None


class Run(torch.autograd.Function):
    """A population's outputs and last state, differentiable by weights, inputs and first state."""

    @staticmethod
    def forward(
        ctx: Any, flat: Tensor, inputs: Tensor, spec: RNNSpec, kernels: Kernels, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """Return ``outputs, *last_state``; no ``state`` stands for zeros."""
        first = tuple(part.contiguous() for part in state) or None
        save = any(ctx.needs_input_grad)
        dense = (flat.contiguous(), inputs.contiguous())
        outputs, last, saved = kernels.run(spec, *dense, first, save)
        ctx.spec, ctx.kernels = spec, kernels
        ctx.save_for_backward(flat, inputs, saved, *state)
        ctx.set_materialize_grads(False)
        return outputs, *last

    @staticmethod
    def backward(
        ctx: Any, d_outputs: Tensor | None, *d_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of those arguments that need one."""
        differentiate_once()
        flat, inputs, saved, *state = ctx.saved_tensors
        needed = ctx.needs_input_grad
        given = tuple(None if part is None else part.contiguous() for part in (d_outputs, *d_last))
        d_flat = flat.new_empty(flat.shape) if needed[0] else None
        d_inputs = inputs.new_empty(inputs.shape) if needed[1] else None
        d_first = tuple(part.new_empty(part.shape) for part in state) if any(needed[4:]) else ()
        fixed = (flat.contiguous(), inputs.contiguous(), saved)
        ctx.kernels.run_backward(ctx.spec, *fixed, given, (d_flat, d_inputs, *d_first))
        return d_flat, d_inputs, None, None, *(d_first or (None,) * len(state))


def differentiate_once() -> None:
    """Refuse ``create_graph=True``, also where ``once_differentiable`` would be silently wrong."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "gradients of kernels cannot be differentiated in turn (create_graph=True); compute in "
            "PyTorch: backend='eager', or float64"
        )
