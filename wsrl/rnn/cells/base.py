"""What a cell is: its tensors, its state, one step, and how it meets ``torch.nn``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias, final

import torch
from torch import Tensor, nn

Tensors: TypeAlias = Mapping[str, Tensor]
"""Tensors of one layer of ``B`` RNNs by name, each ``(B, *shape)``."""

LayerState: TypeAlias = tuple[Tensor, ...]
"""The state of one layer: a tensor ``(B, S, H)`` for each part."""

Driven: TypeAlias = tuple[Tensor, ...]
"""What the inputs of one layer lead to: parts ``(B, S, D)``, each as wide as the cell likes."""


@dataclass(frozen=True)
class Axis:
    """An axis of a tensor. Axes with one name in one layer run over the same units.

    Attributes:
        name: of the units; a name of the cell's own for other units than neurons, such as the
            ranks of a factor.
        size: how many there are; ``None`` for as many as the layer has neurons.
    """

    name: str
    size: int | None = None


HIDDEN = Axis("hidden")
"""The neurons of the layer: their values are what the layer above, or the readout, reads."""

BELOW = Axis("below")
"""What the layer reads: the inputs, or the neurons of the layer below."""


@dataclass(frozen=True)
class CellTensor:
    """One tensor of a layer.

    Attributes:
        name: such as ``weight_ih``, which layer 0 of an RNN has as ``rnn.weight_ih_l0``.
        axes: one, or two: rows and columns.
        gates: blocks of rows, all along the first axis.
        initial: turns numbers drawn uniformly from -1 to 1 into initial values; by default they
            are divided by ``sqrt(H)``, as ``torch.nn`` does.
        trained: whether training changes it; a mask or a fixed time constant stays as it is.
        mask: the name of a tensor of the same axes by which this one is multiplied before use, 0
            where there is no connection.
        bounds: the least and the largest value that is used as it is.
    """

    name: str
    axes: tuple[Axis, ...]
    gates: int = 1
    initial: Callable[[Tensor], Tensor] | None = None
    trained: bool = True
    mask: str | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True)
class NeuronFactors:
    """How a factor for each neuron acts: it multiplies incoming weights and divides outgoing ones.

    Attributes:
        signs: whether the factors are +1 and -1; else they are any positive numbers.
        gate: the gate whose rows are multiplied.
        columns: the tensor of the layer whose columns are divided; so are those of the layer above
            and of the readout.
        kept: tensors whose rows stay as they are.
    """

    signs: bool
    gate: int
    columns: str
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Symmetry:
    """A change of a layer's weights that leaves the function of the RNN as it is.

    Permutations of neurons are no case of it: all cells have them. Weights of a cell are compared
    where each of its symmetries has ``factors``, or is undone by ``canonical``.

    Attributes:
        name: what is done to the neurons.
        change: draws a change of a layer's tensors, first states ``initial_<part> (B, H)``
            included where the RNN has its own. It returns the new tensors, and maps ``M (B, H, H)``
            where the layer's outputs become ``M h``; ``None`` where they stay.
        factors: of neurons, where the change is no other.
        canonical: maps a layer's tensors to an equivalent form, of the same names and shapes, that
            is equal for all weights that the change makes of each other.
    """

    name: str
    change: Callable[[Tensors, torch.Generator | None], tuple[Tensors, Tensor | None]]
    factors: NeuronFactors | None = None
    canonical: Callable[[Tensors], Tensors] | None = None


@dataclass(frozen=True)
class TorchForm:
    """The module of ``torch.nn`` that computes what a cell does.

    Attributes:
        kind: its class.
        options: arguments of its constructor, which its attributes repeat.
    """

    kind: type[nn.RNNBase]
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, inputs: int, hidden: int, layers: int, bias: bool) -> nn.RNNBase:
        """Return a new module, ``batch_first``."""
        kind: Callable[..., nn.RNNBase] = self.kind
        return kind(inputs, hidden, layers, bias=bias, batch_first=True, **self.options)

    def reads(self, module: nn.Module) -> bool:
        """Say whether a module is of this form."""
        own = isinstance(module, self.kind)
        return own and all(getattr(module, name) == value for name, value in self.options.items())


@dataclass(frozen=True)
class Cell(ABC):
    """All that is known of a recurrent cell; see ``docs/extend/cell.md`` for an example.

    A subclass implements the five abstract methods and gives what else differs. Its dataclass
    fields, each with a default, are the cell's options: ``low_rank(rank=2)`` names one with them.

    Attributes:
        name: under which it is registered.
        state: the parts of a layer's state, each of ``H`` numbers.
        state_axis: the units of the state, ``H`` of them; an axis of the cell's own where they are
            no neurons, as the modes of a linear recurrent unit.
        affine: whether a step is an affine function of input and state.
        torch_form: the same cell in ``torch.nn``, if it has it.
    """

    name: ClassVar[str]
    state: ClassVar[tuple[str, ...]] = ("h",)
    state_axis: ClassVar[Axis] = HIDDEN
    affine: ClassVar[bool] = False
    torch_form: ClassVar[TorchForm | None] = None

    @property
    def simpler(self) -> str | None:
        """The name of a cell that computes the same of what ``simplify`` returns, if there is one.

        Kernels of that cell then run this one.
        """
        return None

    def simplify(self, tensors: Tensors) -> Tensors:
        """Return tensors of the ``simpler`` cell, by its names; differentiable."""
        return tensors

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Changes of the weights, beyond permutations of neurons, that keep the function."""
        return ()

    @abstractmethod
    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return the tensors of a layer, with or without biases, in the flat vector's order."""

    @abstractmethod
    def prepare(self, tensors: Tensors) -> Tensors:
        """Return what depends on the weights alone, such as turned matrices or masked weights.

        It is computed once for many steps, and is what the other methods take as ``weights``.
        """

    @abstractmethod
    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return what does not depend on the state, for all steps at once.

        Args:
            weights: from ``prepare``.
            values: what the layer reads, ``(B, T, S, I)``.

        Returns:
            The parts, each ``(B, T, S, D)``.
        """

    @abstractmethod
    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return the next state; ``driven`` is one step of what ``drive`` gave, ``(B, S, D)``."""

    @abstractmethod
    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return what the layer above reads, for all steps at once.

        Args:
            weights: from ``prepare``.
            driven: what ``drive`` gave, each part ``(B, T, S, D)``.
            state: that after every step, ``(B, T, S, H)`` for each part.

        Returns:
            ``(B, T, S, H)``.
        """

    @final
    def __str__(self) -> str:
        """Return the name, with the options that differ from their defaults."""
        given = ((f.name, getattr(self, f.name), f.default) for f in fields(self))
        options = [f"{name}={value!r}" for name, value, default in given if value != default]
        return f"{self.name}({', '.join(options)})" if options else self.name

    def variants(self, shapes: Mapping[str, tuple[int, ...]]) -> Sequence["Cell"]:
        """Return the cells of this name that a layer of such tensors can be of; this one first.

        Args:
            shapes: of the tensors, by name. What they tell of the options holds for all that are
                returned; these differ in what tensors do not tell.
        """
        return (self,)

    @final
    def sizes(self, shapes: Mapping[str, tuple[int, ...]], bias: bool) -> tuple[int, int] | None:
        """Return ``(I, H)`` of a layer whose tensors have these shapes; ``None`` if it has none.

        The first tensor that tells a size is believed; others may contradict it.
        """
        found: dict[Axis, int] = {}
        for tensor in sorted(self.tensors(bias), key=lambda t: t.axes != (HIDDEN, HIDDEN)):
            if found.keys() >= set(tensor.axes):
                continue
            shape = shapes[tensor.name]
            if len(shape) != len(tensor.axes) or 0 in shape or shape[0] % tensor.gates:
                return None
            rows = shape[0] // tensor.gates
            if tensor.axes == (HIDDEN, HIDDEN) and rows != shape[1]:
                return None
            found = dict(zip(tensor.axes, (rows, *shape[1:]), strict=True)) | found
        return (found[BELOW], found[HIDDEN]) if found.keys() >= {BELOW, HIDDEN} else None


def project(values: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply ``values (B, T, S, in)`` by each RNN's ``matrix (B, in, out)``, plus its bias.

    Returns:
        ``(B, T, S, out)``.
    """
    rows = values.flatten(1, 2)
    result = torch.bmm(rows, matrix) if bias is None else torch.baddbmm(bias[:, None], rows, matrix)
    return result.view(*values.shape[:3], matrix.shape[2])
