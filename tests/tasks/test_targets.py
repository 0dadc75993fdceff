"""What holds of every kind of target, and how one is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.test_docs import run_page
from wsrl.tasks.targets import TARGETS, Angle, Classes, Real, TargetKind, ask, make_target


@pytest.fixture(scope="module", autouse=True)
def interval() -> Iterator[None]:
    """The kind of the documentation."""
    with TARGETS.restored():
        run_page("target.md")
        yield


def example(cls: type[TargetKind], parts: int, count: int = 30) -> Tensor:
    shape = (count, parts)
    return torch.randint(0, 3, shape) if cls.discrete else 300 * torch.rand(shape)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", [*TARGETS.names(), "interval"])
def test_a_kind_holds_to_what_the_page_says(name: str, parts: int) -> None:
    cls = TARGETS.get(name)
    target = example(cls, parts)
    try:
        kind = cls(parts, 3 if cls.discrete else 0, 360.0)
    except ValueError as refused:
        pytest.skip(str(refused))
    values = torch.randn(30, parts, kind.width, requires_grad=True)
    losses = ask(kind, "losses", values, target)
    (gradient,) = torch.autograd.grad(losses[3], values)
    assert not torch.cat([gradient[:3], gradient[4:]]).any()  # each RNN's own
    torch.testing.assert_close(ask(kind, "losses", values[:3], target[:3]), losses[:3])
    columns = ask(kind, "columns", values)
    assert torch.equal(columns["prediction"], ask(kind, "decode", values))
    codes = kind.encode(target)
    assert codes.shape[:2] == (30, parts)
    assert codes.ndim == 3
    for given in (codes, codes.mean(0, keepdim=True)):
        ask(kind, "decode", given)
    for metric_name, metric in kind.metrics().items():
        metric.update(ask(kind, "decode", values.detach()), target)
        assert metric.compute().ndim == 0
        assert kind.metrics()[metric_name] is not metric
        if metric_name in kind.better and metric.higher_is_better is not None:
            assert kind.better[metric_name] == (1 if metric.higher_is_better else -1)
    assert set(kind.better) <= set(kind.metrics())
    assert set(kind.better.values()) <= {1, -1}
    assert set(kind.needs_variation) <= set(kind.metrics())
    assert kind.difference(target, target).shape == (30, parts)
    assert kind.confidence(values).shape == (30, parts)


class Wrong(Real):
    """Whatever a test replaces is wrong."""

    name = "wrong"


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("losses", torch.ones(()), r"given \(5, 2, 1\) and \(5, 2\), must return \(5,\), not \(\)"),
        ("decode", torch.ones(5, 1), r"given \(5, 2, 1\), must return \(5, 2\), not \(5, 1\)"),
        ("columns", {"low": torch.ones(5, 2)}, r".* as 'prediction' .*, not \{'low': \(5, 2\)\}"),
        (
            "columns",
            {"prediction": torch.ones(5, 2), "low": torch.ones(2)},
            r".*\(5, \.\.\.\) as others, not .*'low': \(2,\)",
        ),
    ],
)
def test_a_wrong_shape_is_named(
    method: str, returned: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrong, method, lambda *given: returned)
    given = (torch.ones(5, 2, 1), torch.ones(5, 2))[: 2 if method == "losses" else 1]
    with pytest.raises(ValueError, match=f"^{method} of the kind of target 'wrong', {message}"):
        ask(Wrong(2), method, *given)


def test_a_kind_can_refuse_a_property() -> None:
    class Pairs(Real):
        name = "pairs"

        def __post_init__(self) -> None:
            if self.parts != 2:
                raise ValueError(f"pairs have 2 parts, not {self.parts}")

        def losses(self, values: Tensor, target: Tensor) -> Tensor:
            raise ValueError("not enough values")

    with TARGETS.restored():
        TARGETS.register(Pairs)
        facts = {"kind": "real", "parts": 2, "classes": 0}
        kind = make_target(facts, "pairs")
        assert kind == Pairs(2)
        with pytest.raises(ValueError, match="pairs have 2 parts, not 1"):
            make_target({**facts, "parts": 1}, "pairs")
    with pytest.raises(ValueError, match=r"'pairs', given .* \(5, 1\): not enough values"):
        ask(kind, "losses", torch.ones(5, 1, 1), torch.ones(5, 1))


@pytest.mark.parametrize("cls", [Classes, Real, Angle])
def test_codes_and_losses_are_of_the_same_target(cls: type[TargetKind]) -> None:
    kind, target = cls(2, 3), example(cls, 2)
    codes = kind.encode(target)
    torch.testing.assert_close(kind.decode(codes).double(), target.double(), atol=1e-3, rtol=0)
    values = 40 * codes.float() - 20 if kind.discrete else codes.float()
    right, wrong = kind.losses(values, target), kind.losses(values.roll(1, 0), target)
    assert right.max() < 1e-3
    assert wrong.mean() > 100 * right.mean()
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
