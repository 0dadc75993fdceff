"""Heads: what reads a property out of an embedding.

A new head is one subclass of ``Head`` with one ``@register_head``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from wsrl.plugins import Registry
from wsrl.recorded import Recorded, read_config


class Head(Recorded, nn.Module, ABC):
    """Maps embeddings ``(B, inputs)`` to the values ``(B, outputs)`` of a property.

    A subclass implements ``forward``. Its options are further arguments of its constructor, with
    defaults and simple types; they are recorded, so that a checkpoint rebuilds it.
    """

    GIVEN = ("inputs", "outputs")

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, embedding: Tensor) -> Tensor:
        """Read embeddings ``(B, inputs)``; return ``(B, outputs)``."""


HeadFactory: TypeAlias = Callable[[int, int], Head]
"""Makes a head of a number of inputs and outputs; a head's class is one."""

if TYPE_CHECKING:
    HeadLike: TypeAlias = HeadFactory | str | Mapping[str, Any]
else:  # as of ``EncoderLike``
    HeadLike = HeadFactory

_Head = TypeVar("_Head", bound=Head)

HEADS: Registry[type[Head]] = Registry("head", "wsrl.heads", base=Head)
"""Every head by the name of its class."""


def register_head(cls: type[_Head]) -> type[_Head]:
    """Register a head under the name of its class; a decorator."""
    return HEADS.register(cls)


def make_head(head: HeadLike, inputs: int, outputs: int) -> Head:
    """Build a head: given are its class or a callable, its name, or a ``Head.config``."""
    if isinstance(head, str):
        head = {"class_path": head}
    if isinstance(head, Mapping):
        cls, options = read_config(head, HEADS)
        return cls(inputs=inputs, outputs=outputs, **options)
    built: object = head(inputs, outputs)
    if not isinstance(built, Head):
        raise ValueError(f"head must make a Head of inputs and outputs; {head!r} made {built!r}")
    return built


@register_head
class PredictionHead(Head, nn.Sequential):
    """A multi-layer perceptron with ReLUs.

    Args:
        inputs: size of an embedding.
        outputs: values to predict.
        width: neurons of a hidden layer.
        layers: hidden layers; 0 makes it linear.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 128, layers: int = 2) -> None:
        super().__init__(inputs, outputs)
        if layers < 0 or width < 1:
            raise ValueError(
                "a head has 0 or more hidden layers of 1 or more neurons, "
                f"not {layers} (head_layers) of {width} (head_width)"
            )
        sizes = [inputs, *[width] * layers]
        for before, after in pairwise(sizes):
            self.extend([nn.Linear(before, after), nn.ReLU()])
        self.append(nn.Linear(sizes[-1], outputs))

    def forward(self, embedding: Tensor) -> Tensor:
        """Read embeddings ``(B, inputs)``; return ``(B, outputs)``."""
        for layer in self:
            embedding = layer(embedding)
        return embedding


class RunningScale(nn.Module):
    """Mean and standard deviation of all values ``(B, parts)`` seen so far, part by part."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(parts))
        self.register_buffer("variance", torch.ones(parts))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take ``values (B, parts)`` into account."""
        total = self.count + len(values)
        share = len(values) / total
        shift, spread = values.mean(0) - self.mean, values.var(0, correction=0)
        # The initial variance belongs to a count of 0 and drops out here.
        kept = (1 - share) * self.variance + share * spread
        self.variance.copy_(kept + share * (1 - share) * shift**2)
        self.mean.add_(share * shift)
        self.count.copy_(total)

    def standardise(self, values: Tensor) -> Tensor:
        """Return ``values (B, parts)`` less their mean, over their standard deviation."""
        return (values - self.mean) / self._deviation()

    def restore(self, values: Tensor) -> Tensor:
        """Undo ``standardise`` for several values of each part, ``(B, parts, width)``."""
        return values * self._deviation()[:, None] + self.mean[:, None]

    def _deviation(self) -> Tensor:
        return self.variance.sqrt().clamp(min=1e-6)
