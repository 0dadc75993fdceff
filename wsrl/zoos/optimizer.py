"""AdamW for a population: every member's own weight decay, one fused pass over all weights."""

import torch
from torch import Tensor

from wsrl.rnn import Backend
from wsrl.rnn.backends import choose_elementwise, kernels_of

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class PopulationAdamW:
    """AdamW (Loshchilov and Hutter) on the flat weights of ``P`` members.

    ``flat (P, N)`` is updated in place; ``weight_decay`` is ``(P, 1)`` or one number for all.
    Everything is elementwise, so a member whose numbers are not finite spoils no other.
    """

    def __init__(
        self, flat: Tensor, weight_decay: Tensor | float, backend: Backend = "auto"
    ) -> None:
        self.flat, self.weight_decay = flat, weight_decay
        self.backend = choose_elementwise(backend, flat)
        self.mean = torch.zeros_like(flat)
        self.square = torch.zeros_like(flat)
        self.step_count = 0

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Update from ``gradient (P, N)``."""
        self.step_count += 1
        kept = 1 - learning_rate * self.weight_decay
        if self.backend != "eager":
            self._step_fused(gradient.contiguous(), learning_rate, kept)
            return
        self.flat.mul_(kept)
        self.mean.lerp_(gradient, 1 - BETA1)
        self.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        correction = 1 - BETA2**self.step_count
        scale = (self.square / correction).sqrt_().add_(EPSILON)
        self.flat.addcdiv_(self.mean, scale, value=-learning_rate / (1 - BETA1**self.step_count))

    def _step_fused(self, gradient: Tensor, learning_rate: float, kept: Tensor | float) -> None:
        """Do the same in one pass over the memory."""
        rows = kept.flatten() if isinstance(kept, Tensor) else self.flat.new_full((1,), kept)
        rate = learning_rate / (1 - BETA1**self.step_count)
        numbers = (BETA1, BETA2, EPSILON, rate, 1 - BETA2**self.step_count)
        state = (self.flat.detach(), self.mean, self.square)
        rows = rows.to(torch.float32).expand(len(self.flat)).contiguous()
        kernels_of(self.backend).adamw(*state, gradient, rows, numbers)
        # Autograd does not see what the kernels write, and must know that the weights changed.
        torch.autograd.graph.increment_version(self.flat)


def clip_norms(gradient: Tensor, largest: float) -> Tensor:
    """Scale each member's gradient, a row of ``(P, N)``, to an L2 norm of at most ``largest``."""
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return gradient.mul(torch.clamp(largest / norms, max=1))
