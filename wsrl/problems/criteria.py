"""How well outputs meet targets at the steps that count: 1 is perfect."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Criterion: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""How good ``P`` members are, ``(P,)``, by their outputs, targets and a mask."""


def explained(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the share of the targets' variance that outputs explain, ``(P,)``, at least 0.

    Of targets that are constant it is 1 where outputs equal them, else 0.

    Args:
        outputs: ``(P, S, T, O)``.
        targets: likewise.
        mask: ``(P, S, T)``: the variance is that of the steps that count.

    >>> targets = torch.tensor([1.0, -1.0, 7.0]).view(1, 1, 3, 1)
    >>> explained(targets / 2, targets, torch.tensor([[[1, 1, 0]]]))
    tensor([0.7500])
    """
    counted, over = mask[..., None], (1, 2)
    mean = (targets * counted).sum(over, True) / counted.sum(over, True)
    error = ((outputs - targets).square() * counted).sum((1, 2, 3))
    spread = ((targets - mean).square() * counted).sum((1, 2, 3))
    share = (1 - error / spread).clamp(min=0)
    return torch.where(spread > 0, share, (error == 0).to(share))


def right_choices(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the share of choices that are right, ``(P,)``; arguments as of ``explained``.

    A trial's choice is the sign of the mean output over the steps that count; each output chooses.

    >>> outputs = torch.tensor([0.2, -0.1, -5.0]).view(1, 1, 3, 1)
    >>> right_choices(outputs, torch.ones(1, 1, 3, 1), torch.tensor([[[1, 1, 0]]]))
    tensor([1.])
    """
    agreed = (outputs * targets * mask[..., None]).sum(2)
    return (agreed > 0).float().mean((1, 2))


def right_classes(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the share of right classes at steps of others than 0, or at all where there are none.

    Args:
        outputs: logits ``(P, S, T, O)``.
        targets: classes ``(P, S, T)``.
        mask: ``(P, S, T)``, 1 at the steps that count.

    Returns:
        ``(P,)``.
    """
    others = (targets != 0) * mask
    counted = torch.where(others.amax((1, 2), True) > 0, others, mask)
    right = (outputs.argmax(-1) == targets) * counted
    return right.sum((1, 2)) / counted.sum((1, 2))
