"""Leaky RNNs, as those that model the brain: three forms, masks, Dale's law."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from wsrl.rnn.cells.base import HIDDEN, Axis, Cell, CellTensor, Symmetry, Tensors
from wsrl.rnn.cells.matrix import remixed
from wsrl.rnn.cells.rates import NEURONS, RateCell, check_option
from wsrl.rnn.cells.registry import CELLS, register_cell

LEAKS = ("fixed", "shared", "neuron")
MASKS = ("mask", "sign")
CONSTRAINTS = ("none", "mask", "dale")
EXCITATORY = 0.8
"""The share of neurons that excite, before training."""


@final
@register_cell
@dataclass(frozen=True)
class Leaky(RateCell):
    """A leaky RNN, ``h' = (1 - a) h + a f(W h + U x + b)`` or another form of it.

    Forms and nonlinearities are those of ``RateCell``. The recurrent matrix may be constrained:

    - ``mask``: ``W = weight_hh * mask``, at first without the diagonal;
    - ``dale``: ``W = |weight_hh| * mask * sign``, where ``sign`` is that of the neuron that is
      heard, so that each either excites or inhibits.

    Masks and signs are tensors of the RNN that training leaves as they are.

    Source: Yang et al. 2019 (rate form); Song et al. 2016 (state form, Dale's law).

    Attributes:
        leak: whether ``alpha`` is ``fixed``, or trained: ``shared`` by the neurons of a layer, or
            each ``neuron``'s own.
        constraint: ``none``, ``mask`` or ``dale``.
    """

    name = "leaky"
    leak: str = "fixed"
    constraint: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option("leak", self.leak, LEAKS)
        check_option("constraint", self.constraint, CONSTRAINTS)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Sign flips (tanh, unless Dale's law forbids it) or scaling (relu); unused weights."""
        found = []
        if self.nonlinearity in NEURONS and (self.nonlinearity, self.constraint) != (
            "tanh",
            "dale",
        ):
            kept = ("alpha", "mask", "sign")
            found.append(remixed(*NEURONS[self.nonlinearity], kept=kept))
        if self.constraint != "none":
            unused = Symmetry("unused weights changed", _change_unused, canonical=self._used)
            found.append(unused)
        return tuple(found)

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return two matrices, the bias, ``alpha``, and what constrains the recurrent matrix."""
        masked, dale = self.constraint != "none", self.constraint == "dale"
        axis, matrix = HIDDEN if self.leak == "neuron" else Axis("all", 1), (HIDDEN, HIDDEN)
        initial, mask = _balanced if dale else None, "mask" if masked else None
        found = [
            self.reads(),
            CellTensor("weight_hh", matrix, initial=initial, mask=mask),
            *([CellTensor("bias", (HIDDEN,))] if bias else []),
            self.leaks(axis, trained=self.leak != "fixed"),
        ]
        if masked:
            found.append(CellTensor("mask", matrix, initial=_without_diagonal, trained=False))
        if dale:
            found.append(CellTensor("sign", (HIDDEN,), initial=_signs, trained=False))
        return tuple(found)

    def variants(self, shapes: Mapping[str, tuple[int, ...]]) -> Sequence[Cell]:
        """Return all forms and nonlinearities; leak and constraint are told by the tensors."""
        constraint = "dale" if "sign" in shapes else "mask" if "mask" in shapes else "none"
        own = shapes.get("alpha", (1,)) != (1,)
        leak = "neuron" if own else "fixed" if self.leak == "neuron" else self.leak
        return replace(self, leak=leak, constraint=constraint).in_all_forms()

    @property
    def simpler(self) -> str | None:
        """A leaky cell without constraint where each neuron has its leak, or an Elman cell."""
        return simpler_than(self)

    def matrix(self, tensors: Tensors) -> Tensor:
        """Constrain the recurrent matrix."""
        recurrent = tensors["weight_hh"]
        if self.constraint == "mask":
            return recurrent * tensors["mask"]
        if self.constraint == "dale":
            return recurrent.abs() * (tensors["mask"] * tensors["sign"][:, None])
        return recurrent

    def _used(self, tensors: Tensors) -> Tensors:
        """Put what acts in the place of the matrix, and ones in that of its mask and signs."""
        constraints = {name: torch.ones_like(tensors[name]) for name in MASKS if name in tensors}
        return {**tensors, **constraints, "weight_hh": self.matrix(tensors)}

    def prepare(self, tensors: Tensors) -> Tensors:
        """Constrain the recurrent matrix, turn both, and work the leak in."""
        turned = {"input": tensors["weight_ih"].mT, "recurrent": self.matrix(tensors).mT}
        bias = {"bias": tensors["bias"]} if "bias" in tensors else {}
        return self.with_leak(tensors["alpha"], **turned, **bias)

    def couple(self, weights: Tensors, sums: Tensor, rates: Tensor) -> Tensor:
        """Return ``sums + W rates``."""
        return torch.baddbmm(sums, rates, weights["recurrent"])


def simpler_than(cell: RateCell) -> str | None:
    """Return ``Cell.simpler`` of a cell in one of the three forms."""
    if cell.form == "inside":
        return cell.nonlinearity if cell.nonlinearity in CELLS.names() else None
    return str(Leaky(form=cell.form, nonlinearity=cell.nonlinearity, leak="neuron"))


def _without_diagonal(drawn: Tensor) -> Tensor:
    return (1 - torch.eye(drawn.shape[-1])).to(drawn).expand_as(drawn)


def _signs(drawn: Tensor) -> Tensor:
    size = drawn.shape[-1]
    inhibit = torch.arange(size, device=drawn.device) >= round(EXCITATORY * size)
    return torch.where(inhibit, -1.0, 1.0).to(drawn).expand_as(drawn)


def _balanced(drawn: Tensor) -> Tensor:
    """Make what few neurons inhibit as large, in sum, as what many excite."""
    ratio = EXCITATORY / (1 - EXCITATORY)
    factors = torch.where(_signs(drawn) < 0, ratio, 1.0)
    return drawn / math.sqrt(drawn.shape[-1]) * factors


def _change_unused(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Draw anew what the mask removes, and the signs that Dale's law ignores."""
    weight = tensors["weight_hh"]
    drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight)
    used = weight.abs() * drawn.sign() if "sign" in tensors else weight
    return {**tensors, "weight_hh": torch.where(tensors["mask"] == 0, drawn, used)}, None
