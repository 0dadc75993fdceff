"""How far a student's outputs are from a teacher's: the published emulation losses.

A loss takes the student's and the teacher's outputs ``(..., O)`` and returns one number a
position, ``(...)``. Categorical outputs are logits (log-probabilities are logits too): a constant
added to all ``O`` of a position changes nothing. A new loss is one function with one
``@register_loss``.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from torch import Tensor
from torch.nn import functional

from wsrl.plugins import Registry

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_Loss = TypeVar("_Loss", bound=Loss)

KINDS = ("categorical", "real")  # of outputs: logits, or values
LOSSES: dict[str, Registry[Loss]] = {
    kind: Registry(f"loss of {kind} outputs", f"wsrl.losses.{kind}") for kind in KINDS
}


def _registry(output_kind: str) -> Registry[Loss]:
    if output_kind not in LOSSES:
        raise ValueError(f"unknown output kind {output_kind!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[output_kind]


def register_loss(output_kind: str) -> Callable[[_Loss], _Loss]:
    """Register a loss of ``categorical`` or ``real`` outputs under the name of its function."""
    return _registry(output_kind).register


@register_loss("categorical")
def total_variation(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the summed difference of the probabilities: 0 where equal, at most 1."""
    return 0.5 * (student.softmax(-1) - teacher.softmax(-1)).abs().sum(-1)


@register_loss("categorical")
def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(teacher || student)`` in nats, summed over the classes."""
    student, teacher = student.log_softmax(-1), teacher.log_softmax(-1)
    return (teacher.exp() * (teacher - student)).sum(-1)


@register_loss("categorical")
def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(student || teacher)`` in nats, summed over the classes."""
    return kl(teacher, student)


@register_loss("categorical")
def symmetric_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the sum of both KLs; published under the name JS, which it is not."""
    return 0.5 * (kl(student, teacher) + reverse_kl(student, teacher))


@register_loss("categorical")
def cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's cross-entropy with the teacher's most likely symbol.

    The published code takes this symbol for images, and for strings the one that was sampled next
    (``sampled_cross_entropy``).
    """
    chosen = teacher.argmax(-1, keepdim=True)
    return -student.log_softmax(-1).gather(-1, chosen)[..., 0]


@register_loss("categorical")
def sampled_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's cross-entropy with a symbol that is drawn from the teacher.

    For strings the published code takes the symbol that is stored next, which was drawn likewise;
    here it is drawn anew each time. The mean over draws is ``kl`` and a constant of the teacher, so
    ``kl`` is the same objective without the noise.

    >>> import torch
    >>> certain = torch.tensor([0.0, 200.0])
    >>> sampled_cross_entropy(torch.zeros(2), certain)  # log 2
    tensor(0.6931)
    """
    shares = teacher.softmax(-1)
    chosen = shares.reshape(-1, shares.shape[-1]).multinomial(1).view(*shares.shape[:-1], 1)
    return -student.log_softmax(-1).gather(-1, chosen)[..., 0]


@register_loss("categorical")
def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 minus the cosine of the log-probabilities, as published."""
    return 1 - functional.cosine_similarity(student.log_softmax(-1), teacher.log_softmax(-1), -1)


@register_loss("categorical")
def l2_log_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the log-probabilities, averaged over the classes as published."""
    return (student.log_softmax(-1) - teacher.log_softmax(-1)).square().mean(-1)


@register_loss("real")
def mean_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference averaged over the outputs; for real outputs."""
    return (student - teacher).square().mean(-1)


@register_loss("categorical")
def js(student: Tensor, teacher: Tensor) -> Tensor:
    """``symmetric_kl`` under its published name."""
    return symmetric_kl(student, teacher)


def get_loss(name: str, output_kind: str) -> Loss:
    """Return a loss for outputs of a kind; an unknown one is a ``ValueError``."""
    return _registry(output_kind).get(name)
