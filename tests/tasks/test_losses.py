from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from wsrl.tasks.losses import LOSSES, get_loss, register_loss

KINDS = {name: kind for kind, losses in LOSSES.items() for name in losses.names()}


def logits(*shape: int) -> tuple[Tensor, Tensor]:
    return torch.randn(*shape, dtype=torch.float64) * 3, torch.randn(*shape, dtype=torch.float64)


def measure(name: str, student: Tensor, teacher: Tensor) -> Tensor:
    return get_loss(name, KINDS[name])(student, teacher)


def test_total_variation_is_half_the_difference_of_probabilities() -> None:
    student, teacher = logits(4, 2, 3, 5)
    expected = 0.5 * np.abs(softmax(student, -1) - softmax(teacher, -1)).sum(-1)
    torch.testing.assert_close(
        measure("total_variation", student, teacher), torch.as_tensor(expected)
    )


def test_total_variation_is_between_0_and_1_and_0_only_where_equal() -> None:
    student, teacher = logits(200, 6)
    distance = measure("total_variation", student * 20, teacher * 20)
    assert (distance > 0).all()
    assert (distance <= 1 + 1e-12).all()
    assert distance.max() > 0.99
    same = measure("total_variation", student, student + 7)
    torch.testing.assert_close(same, torch.zeros_like(same))


def test_kls_are_summed_over_classes_and_in_their_directions() -> None:
    student, teacher = logits(3, 4, 6)
    forward = kl_divergence(Categorical(logits=teacher), Categorical(logits=student))
    backward = kl_divergence(Categorical(logits=student), Categorical(logits=teacher))
    torch.testing.assert_close(measure("kl", student, teacher), forward)
    torch.testing.assert_close(measure("reverse_kl", student, teacher), backward)
    torch.testing.assert_close(measure("js", student, teacher), 0.5 * (forward + backward))
    by_scipy = entropy(softmax(teacher, -1), softmax(student, -1), axis=-1)
    torch.testing.assert_close(measure("kl", student, teacher), torch.as_tensor(by_scipy))
    assert not torch.allclose(forward, backward)


def test_cross_entropy_is_with_the_teachers_most_likely_symbol() -> None:
    student, teacher = logits(7, 5)
    expected = torch.nn.functional.cross_entropy(student, teacher.argmax(-1), reduction="none")
    torch.testing.assert_close(measure("cross_entropy", student, teacher), expected)


def test_cosine_and_l2_are_of_log_probabilities() -> None:
    student, teacher = logits(7, 5)
    p, q = np.log(softmax(student, -1)), np.log(softmax(teacher, -1))
    cosine = 1 - (p * q).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(q, axis=-1)
    torch.testing.assert_close(measure("cosine", student, teacher), torch.as_tensor(cosine))
    l2 = torch.as_tensor(((p - q) ** 2).mean(-1))
    torch.testing.assert_close(measure("l2_log_probabilities", student, teacher), l2)


def test_mean_squared_error_is_a_mean_over_outputs() -> None:
    student, teacher = logits(2, 3, 4)
    expected = torch.as_tensor(((student.numpy() - teacher.numpy()) ** 2).mean(-1))
    torch.testing.assert_close(measure("mean_squared_error", student, teacher), expected)


@pytest.mark.parametrize("name", LOSSES["categorical"].names())
def test_categorical_losses_ignore_what_all_logits_share(name: str) -> None:
    student, teacher = logits(2, 3, 4, 5)
    loss = measure(name, student, teacher)
    assert loss.shape == (2, 3, 4)
    torch.testing.assert_close(measure(name, student + 2, teacher - 5), loss)


@pytest.mark.parametrize("name", KINDS)
def test_losses_draw_the_student_to_the_teacher(name: str) -> None:
    student, teacher = logits(50, 4)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(measure(name, student, teacher).sum(), student)
    assert gradient.isfinite().all()
    nearer = student - 1e-3 * gradient
    assert measure(name, nearer, teacher).mean() < measure(name, student, teacher).mean()


def test_unknown_losses_and_kinds_list_the_choices() -> None:
    with pytest.raises(
        ValueError, match="unknown loss of categorical outputs 'nope'; choose one of cosine"
    ):
        get_loss("nope", "categorical")
    with pytest.raises(ValueError, match="'total_variation'; choose one of mean_squared_error"):
        get_loss("total_variation", "real")
    with pytest.raises(ValueError, match="choose one of categorical, real"):
        get_loss("kl", "images")


def test_a_users_loss_is_found_by_its_name() -> None:
    with LOSSES["real"].restored():

        @register_loss("real")
        def absolute_error(student: Tensor, teacher: Tensor) -> Tensor:
            return (student - teacher).abs().mean(-1)

        assert get_loss("absolute_error", "real") is absolute_error
        with pytest.raises(ValueError, match="unknown loss of categorical outputs"):
            get_loss("absolute_error", "categorical")
    with pytest.raises(ValueError, match="unknown loss of real outputs"):
        get_loss("absolute_error", "real")
