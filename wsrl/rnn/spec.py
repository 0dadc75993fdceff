"""What an RNN is made of: cell, sizes, and the names, shapes and offsets of its flat vector.

The layout is spelled here and nowhere else: layer by layer the tensors of the cell, then those of
the readout's first layer; of the cells of ``torch.nn`` it is the order in which their parameters
are listed. What only some RNNs have comes last: an input layer, first states, further layers of the
readout.
"""

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from wsrl.rnn.cells import BELOW, HIDDEN, Axis, Cell, CellTensor, get_cell
from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.interface import RNNInterface, check_size, check_sizes

# Layers of a readout but the last.
MOST_READOUT_LAYERS = 2
INPUT, EMBEDDED, OUTPUT = "input", "embedded", "output"
_OUT = Axis(OUTPUT)
_NO_WIDTHS = "relu"  # the default nonlinearity of a readout, and all that one layer can have


def layer_name(tensor: str, layer: int) -> str:
    """Return the name in an RNN of a cell's tensor: ``weight_ih`` is ``rnn.weight_ih_l0``."""
    return f"rnn.{tensor}_l{layer}"


def hidden_axis(layer: int) -> str:
    """Return the label of the axis of the hidden neurons of one layer."""
    return f"hidden_{layer}"


def readout_name(part: str, layer: int) -> str:
    """Return the name of a readout's tensor: ``linear.weight``, then ``readout_1.weight``."""
    return f"readout_{layer}.{part}" if layer else f"linear.{part}"


def initial_name(part: str, layer: int) -> str:
    """Return the name of a layer's first state: ``initial.h_l0``."""
    return f"initial.{part}_l{layer}"


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of an RNN.

    Attributes:
        name: as in a module with the children ``rnn`` and ``linear``: ``rnn.weight_ih_l0``.
        axes: for every axis, whose neurons it runs over: ``input``, ``output``, ``hidden_<layer>``
            or an axis of the cell's own. Axes with one label are the same neurons and permute
            together.
        sizes: the number of neurons along each axis.
        gates: blocks of rows, one per gate; 1 for the readout.
        offset: where the tensor starts in the flat vector.
        trained: whether training changes it.
    """

    name: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    gates: int
    offset: int
    trained: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape ``torch.nn`` gives it: gates and rows are one axis."""
        return (self.gates * self.sizes[0], *self.sizes[1:])

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class RNNSpec:
    """A recurrent network: maybe an input layer, layers of one cell, a readout.

    Attributes:
        cell: a registered cell (``list_cells``), with its options as in ``low_rank(rank=2)``.
        input_size: size ``I`` of an input vector.
        hidden_size: neurons ``H`` of every layer.
        num_layers: stacked layers ``L``.
        output_size: size ``O`` of an output vector.
        bias: whether cells and readout have biases (all or none).
        input_width: size ``E`` of what a linear layer makes of an input for the first layer; 0 for
            none. Of one-hot inputs it is an embedding.
        input_bias: whether that layer has a bias.
        readout_widths: sizes of the readout's layers but the last, at most two.
        readout_activation: nonlinearity after each of these.
        initial_state: whether the RNN has first states of its own, which are else zero.
        output_activation: what ends the RNN. It is only recorded: ``run_population`` returns the
            values before it, ``final`` applies it.

    >>> print(RNNSpec("lstm", 6, 32, 2, 6), RNNSpec("lstm", 6, 32, 2, 6).num_parameters)
    lstm 2x32, 6 inputs, 6 outputs 13766
    >>> print(RNNSpec("gru", 7, 8, 1, 7, input_width=5, readout_widths=(16,), initial_state=True))
    gru 1x8, 7 inputs by 5, 7 outputs by 16 relu, own first state
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    output_size: int
    bias: bool = True
    input_width: int = 0
    input_bias: bool = False
    readout_widths: tuple[int, ...] = ()
    readout_activation: str = _NO_WIDTHS
    initial_state: bool = False
    output_activation: str = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.cell, str):
            raise ValueError(f"a cell is given by its name, not as {self.cell!r}")
        object.__setattr__(self, "cell", str(get_cell(self.cell)))  # one spelling for one cell
        check_sizes(self, ("input_size", "hidden_size", "num_layers", "output_size"))
        for name in ("bias", "input_bias", "initial_state"):
            if not isinstance(value := getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {value!r}")
        for name in ("readout_activation", "output_activation"):
            if not isinstance(value := getattr(self, name), str) or value not in ACTIVATIONS:
                choices = ", ".join(ACTIVATIONS)
                raise ValueError(f"{name} is one of {choices}, not {reprlib.repr(value)}")
        if self.input_width != 0:
            check_sizes(self, ("input_width",))
        elif self.input_bias:
            raise ValueError("input_bias needs an input layer: give its input_width")
        widths = self.readout_widths
        if not isinstance(widths, list | tuple) or len(widths) > MOST_READOUT_LAYERS:
            most = MOST_READOUT_LAYERS
            raise ValueError(f"readout_widths are at most {most} sizes, not {reprlib.repr(widths)}")
        for width in widths:
            check_size("a readout's width", width)
        if not widths and self.readout_activation != _NO_WIDTHS:
            raise ValueError("readout_activation needs several readout layers: give readout_widths")
        object.__setattr__(self, "readout_widths", tuple(widths))

    @property
    def kind(self) -> Cell:
        """What is known of the cell."""
        return get_cell(self.cell)

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return RNNInterface(self.input_size, self.output_size)

    @property
    def is_core(self) -> bool:
        """Whether the RNN has neither an input layer, nor first states, nor further readouts."""
        return not (self.input_width or self.initial_state or self.readout_widths)

    @cached_property
    def core(self) -> "RNNSpec":
        """The layers of the cell and the readout's first layer, as an RNN of its own.

        Its tensors are the first ones. It starts from zero, or from a state that is given.
        """
        return RNNSpec(
            self.cell,
            self.input_width or self.input_size,
            self.hidden_size,
            self.num_layers,
            (*self.readout_widths, self.output_size)[0],
            self.bias,
        )

    @property
    def gates(self) -> int:
        """Blocks of rows of the tensor that has most: 4 of an LSTM, 3 of a GRU, 1 of tanh."""
        return max(tensor.gates for tensor in self.tensors)

    @property
    def state_parts(self) -> int:
        """Vectors of ``H`` numbers in a layer's state: ``h`` and ``c`` of an LSTM."""
        return len(self.kind.state)

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor in the order of the flat vector."""
        tensors: list[TensorSpec] = []
        for tensor, name, axes in self._layout():
            offset = tensors[-1].offset + tensors[-1].numel if tensors else 0
            labels, sizes = zip(*(axes[axis] for axis in tensor.axes), strict=True)
            tensors.append(TensorSpec(name, labels, sizes, tensor.gates, offset, tensor.trained))
        return tuple(tensors)

    def _layout(self) -> Iterator[tuple[CellTensor, str, Mapping[Axis, tuple[str, int]]]]:
        """Yield every tensor, its name, and label and size of its axes."""
        inputs = (INPUT, self.input_size)
        embedded = (EMBEDDED, self.input_width) if self.input_width else inputs
        below, firsts = embedded, []
        for layer in range(self.num_layers):
            here = (hidden_axis(layer), self.hidden_size)

            def axes_of(tensor: CellTensor, layer: int = layer) -> dict[Axis, tuple[str, int]]:
                return {a: (f"{a.name}_{layer}", a.size or self.hidden_size) for a in tensor.axes}

            for tensor in self.kind.tensors(self.bias):
                axes = axes_of(tensor) | {HIDDEN: here, BELOW: below}
                yield tensor, layer_name(tensor.name, layer), axes
            for part in self.kind.state if self.initial_state else ():
                first = CellTensor(part, (self.kind.state_axis,))
                firsts.append((first, initial_name(part, layer), axes_of(first) | {HIDDEN: here}))
            below = here
        readout = list(self._readout(below))
        yield from readout[: 1 + self.bias]
        if self.input_width:
            first_axes = {_OUT: embedded, BELOW: inputs}
            weight, bias = self._linear(self.input_size)
            yield weight, "input.weight", first_axes
            if self.input_bias:
                yield bias, "input.bias", first_axes
        yield from firsts
        yield from readout[1 + self.bias :]

    def _readout(
        self, below: tuple[str, int]
    ) -> Iterator[tuple[CellTensor, str, Mapping[Axis, tuple[str, int]]]]:
        widths = [(f"readout_{layer}", width) for layer, width in enumerate(self.readout_widths)]
        for layer, here in enumerate([*widths, (OUTPUT, self.output_size)]):
            axes, (weight, bias) = {_OUT: here, BELOW: below}, self._linear(below[1])
            yield weight, readout_name("weight", layer), axes
            if self.bias:
                yield bias, readout_name("bias", layer), axes
            below = here

    def _linear(self, inputs: int) -> tuple[CellTensor, CellTensor]:
        """Return weight and bias of a linear layer, with the initial values of ``nn.Linear``."""
        same = inputs == self.hidden_size  # those of a cell
        initial = None if same else partial(torch.mul, other=inputs**-0.5)
        weight = CellTensor("weight", (_OUT, BELOW), initial=initial)
        return weight, CellTensor("bias", (_OUT,), initial=initial)

    def initials(self) -> tuple[Callable[[Tensor], Tensor] | None, ...]:
        """Return how each tensor gets its initial values, as ``CellTensor.initial``."""
        return tuple(tensor.initial for tensor, *_ in self._layout())

    @property
    def num_parameters(self) -> int:
        """Length ``N`` of the flat vector."""
        return self.tensors[-1].offset + self.tensors[-1].numel

    def final(self, outputs: Tensor) -> Tensor:
        """Apply the output activation to ``outputs (..., O)`` of ``run_population``."""
        return ACTIVATIONS[self.output_activation](outputs)

    def to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values.

        Those that not every RNN has are left out at their defaults.
        """
        given = {name: getattr(self, name) for name in _DEFAULTS}
        kept = {n: v for n, v in given.items() if n in _OFTEN or v != _DEFAULTS[n]}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in kept.items()}

    def __str__(self) -> str:
        width = f" by {self.input_width}" if self.input_width else ""
        widths = "".join(f" by {w} {self.readout_activation}" for w in self.readout_widths)
        said = {
            "no biases": not self.bias,
            "own first state": self.initial_state,
            f"then {self.output_activation}": self.output_activation != "none",
        }
        more = "".join(f", {words}" for words, true in said.items() if true)
        return (
            f"{self.cell} {self.num_layers}x{self.hidden_size}, "
            f"{self.input_size} inputs{width}, {self.output_size} outputs{widths}{more}"
        )


_OFTEN = ("cell", "input_size", "hidden_size", "num_layers", "output_size", "bias")
_DEFAULTS = {field.name: field.default for field in fields(RNNSpec)}


def read_interface(values: Mapping[str, Any]) -> RNNSpec | RNNInterface:
    """Return what ``to_dict`` of a spec, or of an interface, described.

    >>> print(read_interface({"input_size": 6, "output_size": 6}))
    any cell and size, 6 inputs, 6 outputs
    """
    return RNNSpec(**values) if "cell" in values else RNNInterface(**values)
