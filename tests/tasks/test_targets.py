"""What holds of every kind of target, and how one is chosen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from wsrl.tasks.targets import TARGETS, Angle, Classes, make_target

KINDS = TARGETS.names()


def example(name: str, count: int = 30) -> Tensor:
    cls = TARGETS.get(name)
    return torch.randint(0, 3, (count, 2)) if cls.discrete else 300 * torch.rand(count, 2)


@pytest.mark.parametrize("name", KINDS)
def test_codes_and_losses_are_of_the_same_target(name: str) -> None:
    kind, target = TARGETS.get(name)(2, 3), example(name)
    codes = kind.encode(target)
    torch.testing.assert_close(kind.decode(codes).double(), target.double(), atol=1e-3, rtol=0)
    values = 40 * codes.float() - 20 if kind.discrete else codes.float()
    assert values.shape == (30, 2, kind.width)
    right, wrong = kind.losses(values, target), kind.losses(values.roll(1, 0), target)
    assert right.shape == (30,)
    assert right.max() < 1e-3
    assert wrong.mean() > 100 * right.mean()
    assert kind.columns(values)["prediction"].shape == (30, 2)
    assert kind.difference(target, target).abs().max() == 0


def test_losses_of_classes_equal_torchs() -> None:
    values, target = torch.randn(5, 2, 4), torch.randint(4, (5, 2))
    right = torch.zeros(5, 2, 4).scatter(2, target[..., None], 1.0)
    expected = functional.binary_cross_entropy(values.sigmoid(), right)
    torch.testing.assert_close(Classes(2, 4).losses(values, target).mean(), expected)
    losses = Classes(2, 4, class_loss="cross_entropy").losses(values, target)
    expected = functional.cross_entropy(values.view(10, 4), target.view(10))
    torch.testing.assert_close(losses.mean(), expected)


def test_means_of_codes_decode_to_the_typical_target() -> None:
    classes = Classes(1, 3)
    shares = classes.encode(torch.tensor([[0], [2], [2]])).mean(0, keepdim=True)
    assert classes.decode(shares).tolist() == [[2]]
    angles = Angle(1, 0, 360.0)
    assert float(angles.decode(angles.encode(torch.tensor([[350.0], [20.0]])).mean(0)[None])) == (
        pytest.approx(5)
    )
    assert float(angles.difference(torch.tensor(359.0), torch.tensor(1.0))) == 2


def test_the_kind_is_that_of_the_data_unless_another_is_chosen() -> None:
    facts = {"kind": "real", "parts": 2, "classes": 0, "period": 360.0}
    assert make_target(facts).name == "real"
    assert make_target(facts, "angle") == Angle(2, 0, 360.0)
    with pytest.raises(ValueError, match="kind real cannot be read as classes"):
        make_target(facts, "classes")
    with pytest.raises(ValueError, match="unknown kind of target 'complex'; choose one of angle"):
        make_target(facts, "complex")
