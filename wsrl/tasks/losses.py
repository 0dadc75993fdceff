"""How far a student's outputs are from a teacher's: the published emulation losses.

Every function takes the student's and the teacher's outputs ``(..., O)`` and returns one number a
position, ``(...)``. For categorical outputs both are logits (log-probabilities are logits too);
adding a constant to all ``O`` of a position changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def total_variation(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the summed difference of the probabilities: 0 where equal, at most 1."""
    return 0.5 * (student.softmax(-1) - teacher.softmax(-1)).abs().sum(-1)


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(teacher || student)`` in nats, summed over the classes."""
    student, teacher = student.log_softmax(-1), teacher.log_softmax(-1)
    return (teacher.exp() * (teacher - student)).sum(-1)


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(student || teacher)`` in nats, summed over the classes."""
    return kl(teacher, student)


def symmetric_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the sum of both KLs; published under the name JS, which it is not."""
    return 0.5 * (kl(student, teacher) + reverse_kl(student, teacher))


def cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's cross-entropy with the teacher's most likely symbol.

    The published code takes this symbol for images, and for strings the one that was sampled next:
    the mean of that over samples is ``kl`` and a constant, so ``kl`` is what to train with there.
    """
    chosen = teacher.argmax(-1, keepdim=True)
    return -student.log_softmax(-1).gather(-1, chosen)[..., 0]


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 minus the cosine of the log-probabilities, as published."""
    return 1 - functional.cosine_similarity(student.log_softmax(-1), teacher.log_softmax(-1), -1)


def l2_log_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the log-probabilities, averaged over the classes as published."""
    return (student.log_softmax(-1) - teacher.log_softmax(-1)).square().mean(-1)


def mean_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference averaged over the outputs; for real outputs."""
    return (student - teacher).square().mean(-1)


CATEGORICAL_LOSSES: dict[str, Loss] = {
    "total_variation": total_variation,
    "kl": kl,
    "reverse_kl": reverse_kl,
    "symmetric_kl": symmetric_kl,
    "js": symmetric_kl,
    "cross_entropy": cross_entropy,
    "cosine": cosine,
    "l2_log_probabilities": l2_log_probabilities,
}
REAL_LOSSES: dict[str, Loss] = {"mean_squared_error": mean_squared_error}
LOSSES: dict[str, Loss] = CATEGORICAL_LOSSES | REAL_LOSSES
"""Every loss by name; ``js`` is the published name of ``symmetric_kl``."""

OUTPUT_KINDS: dict[str, dict[str, Loss]] = {"categorical": CATEGORICAL_LOSSES, "real": REAL_LOSSES}
"""The losses that suit outputs which are logits, and outputs which are values."""


def get_loss(name: str, output_kind: str) -> Loss:
    """Return a loss for outputs of a kind.

    Raises:
        ValueError: for an unknown kind or loss, or a loss made for outputs of the other kind.
    """
    if output_kind not in OUTPUT_KINDS:
        kinds = ", ".join(OUTPUT_KINDS)
        raise ValueError(f"unknown output kind {output_kind!r}; choose one of {kinds}")
    suited = OUTPUT_KINDS[output_kind]
    if name not in suited:
        problem = "is for other outputs" if name in LOSSES else "is unknown"
        raise ValueError(
            f"loss {name!r} {problem}; for {output_kind} outputs choose one of {', '.join(suited)}"
        )
    return suited[name]
