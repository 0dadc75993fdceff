"""The published losses compared with scipy and torch, and what holds of each registered one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from torch import Tensor
from torch.nn import functional

from wsrl.tasks.losses import LOSSES, get_loss, register_loss

KINDS = {name: kind for kind, losses in LOSSES.items() for name in losses.names()}


def logits(*shape: int) -> tuple[Tensor, Tensor]:
    return torch.randn(*shape, dtype=torch.float64) * 3, torch.randn(*shape, dtype=torch.float64)


def measure(name: str, student: Tensor, teacher: Tensor) -> Tensor:
    return get_loss(name, KINDS[name])(student, teacher)


def kl(p: Tensor, q: Tensor) -> np.ndarray:
    return entropy(softmax(p, -1), softmax(q, -1), axis=-1)


def cosine(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return 1 - (p * q).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(q, axis=-1)


PUBLISHED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "total_variation": lambda s, t: 0.5 * np.abs(softmax(s, -1) - softmax(t, -1)).sum(-1),
    "kl": lambda s, t: kl(t, s),
    "reverse_kl": kl,
    "symmetric_kl": lambda s, t: 0.5 * (kl(s, t) + kl(t, s)),
    "js": lambda s, t: 0.5 * (kl(s, t) + kl(t, s)),
    "cross_entropy": lambda s, t: functional.cross_entropy(
        s.flatten(0, -2), t.argmax(-1).flatten(), reduction="none"
    ).view(s.shape[:-1]),
    "cosine": lambda s, t: cosine(log_softmax(s, -1), log_softmax(t, -1)),
    "l2_log_probabilities": lambda s, t: ((log_softmax(s, -1) - log_softmax(t, -1)) ** 2).mean(-1),
    "mean_squared_error": lambda s, t: ((s.numpy() - t.numpy()) ** 2).mean(-1),
}


@pytest.mark.parametrize("name", [name for name in KINDS if name != "sampled_cross_entropy"])
def test_losses_are_as_published_and_draw_the_student_to_the_teacher(name: str) -> None:
    student, teacher = logits(4, 2, 3, 5)
    loss = measure(name, student, teacher)
    torch.testing.assert_close(loss, torch.as_tensor(PUBLISHED[name](student, teacher)))
    if KINDS[name] == "categorical":  # what all logits share counts for nothing
        torch.testing.assert_close(measure(name, student + 2, teacher - 5), loss)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(measure(name, student, teacher).sum(), student)
    assert gradient.isfinite().all()
    assert measure(name, student - 1e-3 * gradient, teacher).mean() < loss.mean()


def test_sampled_cross_entropy_is_kl_and_the_teacher_s_entropy_on_average() -> None:
    student, teacher = logits(3, 4)
    draws = 40_000
    losses = measure(
        "sampled_cross_entropy", student.expand(draws, 3, 4), teacher.expand(draws, 3, 4)
    )
    known = torch.as_tensor(kl(teacher, student) + entropy(softmax(teacher, -1), axis=-1))
    chance = 5 * losses.std(0) / draws**0.5
    assert ((losses.mean(0) - known).abs() < chance).all()
    assert ((measure("cross_entropy", student, teacher) - known).abs() > chance).any()
    # Each draw is the cross-entropy with one of the symbols.
    of_symbols = -student.log_softmax(-1)
    assert (losses[:100, :, None] == of_symbols).any(-1).all()
    student.requires_grad_()
    loss = measure("sampled_cross_entropy", student, 500 * teacher)  # as good as certain
    expected = functional.cross_entropy(student, teacher.argmax(-1), reduction="none")
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    torch.testing.assert_close(gradient.sum(-1), torch.zeros(3, dtype=torch.float64))
    assert gradient.abs().max() > 0.01


def test_total_variation_is_between_0_and_1_and_0_only_where_equal() -> None:
    student, teacher = logits(200, 6)
    distance = measure("total_variation", student * 20, teacher * 20)
    assert (distance > 0).all()
    assert (distance <= 1 + 1e-12).all()
    assert distance.max() > 0.99
    same = measure("total_variation", student, student + 7)
    torch.testing.assert_close(same, torch.zeros_like(same))


def test_a_users_loss_is_found_by_its_name_among_those_of_its_kind() -> None:
    with LOSSES["real"].restored():

        @register_loss("real")
        def absolute_error(student: Tensor, teacher: Tensor) -> Tensor:
            return (student - teacher).abs().mean(-1)

        assert get_loss("absolute_error", "real") is absolute_error
        with pytest.raises(ValueError, match="unknown loss of categorical outputs"):
            get_loss("absolute_error", "categorical")
    with pytest.raises(ValueError, match="choose one of mean_squared_error"):
        get_loss("absolute_error", "real")
    with pytest.raises(ValueError, match="choose one of categorical, real"):
        get_loss("kl", "images")
