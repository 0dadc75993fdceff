"""Kinds of targets: how a property of RNNs is learned from embeddings, measured and read.

A new kind is one subclass of ``TargetKind`` with one ``@register_target``. A property is of the
kind that its problem says; ``PredictionModule(kind=...)`` chooses another.
"""

# ruff: noqa: D102  what methods return is said in TargetKind
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, Metric

from wsrl.plugins import Registry
from wsrl.tasks.metrics import MeanOf, SplitScore, kendall_tau, r2

CLASS_LOSSES = ("binary_cross_entropy", "cross_entropy")


@dataclass(frozen=True)
class TargetKind(ABC):
    """One kind of target.

    A property of ``B`` RNNs is ``(B, parts)``; a part is one of ``classes``, or they are 0. Numbers
    on a circle have a ``period``. A head gives ``width`` values for each part. ``class_loss`` is
    for kinds of classes.
    """

    name: ClassVar[str]
    discrete: ClassVar[bool] = False
    """Whether a part is the index of a class, an integer. Such a kind is for properties of classes
    only, another kind for others only."""
    scaled: ClassVar[bool] = False
    """Whether heads learn each part, by itself, with the mean 0 and standard deviation 1 of all
    training batches so far. Parts of one unit lose their order so, as the ends of an interval."""
    better: ClassVar[Mapping[str, int]] = {}
    """1 for metrics of which more is better, -1 where less is; the first is the main one. A report
    ranks encoders by these; it only lists other metrics."""
    needs_variation: ClassVar[tuple[str, ...]] = ()
    """Metrics that are not defined where all RNNs have the same value: a remark names them."""

    parts: int = 1
    classes: int = 0
    period: float | None = None
    class_loss: str = CLASS_LOSSES[0]

    def __post_init__(self) -> None:  # noqa: B027
        """Raise ``ValueError`` for a property that the kind does not suit; most suit all."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many values a head gives for each part."""

    @abstractmethod
    def losses(self, values: Tensor, target: Tensor) -> Tensor:
        """Return each RNN's loss, ``(B,)``, of a head's ``values (B, parts, width)``.

        Of a scaled kind the target, ``(B, parts)``, is in the scale of the training targets.
        """

    @abstractmethod
    def decode(self, values: Tensor) -> Tensor:
        """Return the property ``(B, parts)`` that values stand for.

        They are ``(B, parts, width)``, of a scaled kind in the property's own unit, or means of
        what ``encode`` returns.
        """

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Return new metrics by name; each is updated with predictions and targets."""

    def encode(self, target: Tensor) -> Tensor:
        """Return a property as numbers that any regressor can learn: ``(B, parts, numbers)``.

        The mean of several RNNs' codes decodes to what is typical of them.
        """
        return target.double()[..., None]

    def columns(self, values: Tensor) -> dict[str, Tensor]:
        """Return what files keep, ``(B, ...)`` by name: ``decode``'s, and more."""
        return {"prediction": self.decode(values)}

    def confidence(self, values: Tensor) -> Tensor:
        """Return how sure a head is of each part, ``(B, parts)``; ones where it does not say."""
        return torch.ones(values.shape[:2])

    def difference(self, one: Tensor, other: Tensor) -> Tensor:
        """Return how far apart two properties are, part by part: the short way round a circle."""
        return circle_distance(one, other, self.period)

    def spell(self, values: Sequence[float | str]) -> str:
        """Write a property."""
        return ", ".join(f"{value:.4g}" for value in values)


_Kind = TypeVar("_Kind", bound=TargetKind)

TARGETS: Registry[type[TargetKind]] = Registry(
    "kind of target", "wsrl.targets", TargetKind, lambda cls: str(cls.name)
)
"""Every kind of target by its ``name``."""


def register_target(cls: type[_Kind]) -> type[_Kind]:
    """Register a kind of target under its ``name``; a decorator."""
    return TARGETS.register(cls)


def make_target(facts: Mapping[str, Any], kind: str | None = None, **options: Any) -> TargetKind:
    """Return the kind of a property, with further fields.

    The data's ``facts`` are ``{"kind", "parts", "classes"}`` and maybe ``period``. Another ``kind``
    is a ``ValueError`` where one of the two is of classes and the other is not.
    """
    cls = TARGETS.get(str(kind or facts["kind"]))
    if cls.discrete != TARGETS.get(str(facts["kind"])).discrete:
        raise ValueError(f"a target of the kind {facts['kind']} cannot be read as {kind}")
    return cls(int(facts["parts"]), int(facts["classes"]), facts.get("period"), **options)


def ask(kind: TargetKind, method: str, values: Tensor, *target: Tensor) -> Any:
    """Return what ``losses``, ``decode`` or ``columns`` returns; a wrong shape is a ``ValueError``.

    It names the kind and the method.
    """
    given = " and ".join(str(tuple(each.shape)) for each in (values, *target))
    place = f"{method} of the kind of target {kind.name!r}, given {given}"
    try:
        found = getattr(kind, method)(values, *target)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    columns = found if method == "columns" else {"prediction": found}
    wanted = (len(values),) if method == "losses" else (len(values), kind.parts)
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    begin = {shape[:1] for shape in shapes.values()}
    if shapes.get("prediction") != wanted or begin != {wanted[:1]}:
        what = f"{wanted} as 'prediction' and ({len(values)}, ...) as others"
        what = what if method == "columns" else str(wanted)
        returned = shapes if method == "columns" else shapes["prediction"]
        raise ValueError(f"{place}, must return {what}, not {returned}")
    return found


def measure_target(kind: TargetKind, predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the metrics of a kind by name, of ``(n, parts)``; NaN for what is not defined."""
    metrics = kind.metrics()
    for metric in metrics.values():
        metric.update(predicted, truth)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@register_target
class Classes(TargetKind):
    """Every part is one of several classes, with a logit for each: the largest one is predicted.

    The cross-entropy is averaged over parts, or a yes-or-no one over classes as well.
    ``exact_match`` wants all parts right.
    """

    name: ClassVar[str] = "classes"
    discrete: ClassVar[bool] = True
    better: ClassVar[Mapping[str, int]] = {"exact_match": 1, "part_accuracy": 1}

    @property
    def width(self) -> int:
        return self.classes

    def losses(self, values: Tensor, target: Tensor) -> Tensor:
        if self.class_loss == "cross_entropy":
            return functional.cross_entropy(values.mT, target, reduction="none").mean(1)
        right = functional.one_hot(target, self.classes).to(values.dtype)
        losses = functional.binary_cross_entropy_with_logits(values, right, reduction="none")
        return losses.mean((1, 2))

    def encode(self, target: Tensor) -> Tensor:
        # At least two numbers: one alone would be yes or no.
        return functional.one_hot(target.long(), max(self.classes, 2)).double()

    def decode(self, values: Tensor) -> Tensor:
        return values.argmax(-1)

    def metrics(self) -> dict[str, Metric]:
        return {"exact_match": MeanOf(_all_right), "part_accuracy": MeanOf(_right)}

    def confidence(self, values: Tensor) -> Tensor:
        return values.softmax(-1).amax(-1)

    def difference(self, one: Tensor, other: Tensor) -> Tensor:
        return (one != other).double()

    def spell(self, values: Sequence[float | str]) -> str:
        return ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)


@register_target
class Real(TargetKind):
    """Every part is a number, learned by squared error; on a circle it has an angular error too."""

    name: ClassVar[str] = "real"
    width = 1
    scaled: ClassVar[bool] = True
    better: ClassVar[Mapping[str, int]] = {"mae": -1, "r2": 1, "kendall_tau": 1}
    needs_variation: ClassVar[tuple[str, ...]] = ("r2", "kendall_tau")

    def losses(self, values: Tensor, target: Tensor) -> Tensor:
        return (values[..., 0] - target).square().mean(1)

    def decode(self, values: Tensor) -> Tensor:
        return values[..., 0]

    def metrics(self) -> dict[str, Metric]:
        scores = {"mae": MeanAbsoluteError(), "r2": SplitScore(r2)}
        return {**scores, "kendall_tau": SplitScore(kendall_tau), **_on_circle_too(self.period)}


@register_target
class Angle(TargetKind):
    """Every part is an angle in degrees, learned as a point on the unit circle.

    The loss is the mean squared error of the coordinates; the mean of points is a mean direction.
    """

    name: ClassVar[str] = "angle"
    width = 2
    better: ClassVar[Mapping[str, int]] = {"angular_error": -1}

    def losses(self, values: Tensor, target: Tensor) -> Tensor:
        return (values - on_circle(target)).square().mean((1, 2))

    def encode(self, target: Tensor) -> Tensor:
        return on_circle(target.double())

    def decode(self, values: Tensor) -> Tensor:
        angles = torch.atan2(values[..., 1], values[..., 0]).rad2deg() % 360
        return torch.where(angles == 360, 0, angles)  # just below 0 rounds up to 360

    def metrics(self) -> dict[str, Metric]:
        return _on_circle_too(self.period)


def _on_circle_too(period: float | None) -> dict[str, Metric]:
    if period is None:
        return {}
    return {"angular_error": MeanOf(partial(circle_distance, period=period))}


def _right(predicted: Tensor, target: Tensor) -> Tensor:
    """Return 1 where a part is right, NaN where there is no prediction: ``(B, parts)``."""
    return torch.where(predicted.isnan(), torch.nan, (predicted == target).double())


def _all_right(predicted: Tensor, target: Tensor) -> Tensor:
    return _right(predicted, target).prod(1)


def on_circle(degrees: Tensor) -> Tensor:
    """Return angles ``(...)`` as points of the unit circle, ``(..., 2)``."""
    radians = degrees.deg2rad()
    return torch.stack([radians.cos(), radians.sin()], -1)


def circle_distance(one: Tensor, other: Tensor, period: float | None) -> Tensor:
    """Return absolute differences, the short way round where numbers are on a circle."""
    if period is None:
        return (one - other).abs()
    return ((one - other + period / 2) % period - period / 2).abs()
