"""What an RNN is made of: cell, sizes, and the names, shapes and offsets of its flat vector.

The layout is spelled here and nowhere else: the order in which ``torch.nn.LSTM`` (or ``GRU``,
``RNN``) and then ``torch.nn.Linear`` list their parameters.
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

CELLS = {"lstm": 4, "gru": 3, "tanh": 1, "linear": 1}
"""Known cells and how many gates each has (rows of a weight matrix per hidden neuron)."""

MAX_LAYERS = 1000
"""No RNN has more; a file that says so would have lists made for every layer of them."""

MAX_SIZE = 1 << 24
"""No layer, input or output is larger; with it the numbers of an RNN can be counted in 63 bits."""

INPUT = "input"
OUTPUT = "output"


def hidden_axis(layer: int) -> str:
    """Return the label of the axis of the hidden neurons of one layer."""
    return f"hidden_{layer}"


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of an RNN.

    Attributes:
        name: as in a module with the children ``rnn`` and ``linear``: ``rnn.weight_ih_l0``.
        axes: for every axis, whose neurons it runs over: ``input``, ``output`` or
            ``hidden_<layer>``. Axes with one label are the same neurons and permute together.
        sizes: the number of neurons along each axis.
        gates: blocks of rows, one per gate; 1 for the readout.
        offset: where the tensor starts in the flat vector.
    """

    name: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    gates: int
    offset: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape ``torch.nn`` gives it: gates and rows are one axis."""
        return (self.gates * self.sizes[0], *self.sizes[1:])

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        count = self.gates
        for size in self.sizes:
            count *= size
        return count


@dataclass(frozen=True)
class RNNSpec:
    """A recurrent network with a linear readout.

    Attributes:
        cell: ``lstm``, ``gru``, ``tanh`` (Elman) or ``linear`` (Elman without its tanh).
        input_size: size ``I`` of an input vector.
        hidden_size: neurons ``H`` of every layer.
        num_layers: stacked layers ``L``.
        output_size: size ``O`` of an output vector.
        bias: whether cells and readout have biases (all or none).

    Raises:
        ValueError: for an unknown cell, a size below 1 or above ``MAX_SIZE``, or more than
            ``MAX_LAYERS`` layers.
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    output_size: int
    bias: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.cell, str) or self.cell not in CELLS:
            raise ValueError(f"unknown cell {self.cell!r}; choose one of {', '.join(CELLS)}")
        for name in ("input_size", "hidden_size", "num_layers", "output_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
            most = MAX_LAYERS if name == "num_layers" else MAX_SIZE
            if value > most:
                raise ValueError(f"{name} must be at most {most}, not {reprlib.repr(value)}")
        if not isinstance(self.bias, bool):
            raise ValueError(f"bias must be True or False, not {self.bias!r}")

    @property
    def gates(self) -> int:
        """Gates of the cell: 4 (i, f, g, o), 3 (r, z, n) or 1."""
        return CELLS[self.cell]

    @property
    def state_parts(self) -> int:
        """Vectors of ``H`` numbers in a layer's state: ``h`` and ``c`` of an LSTM, else ``h``."""
        return 2 if self.cell == "lstm" else 1

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor in the order of the flat vector."""
        tensors: list[TensorSpec] = []
        sizes = {INPUT: self.input_size, OUTPUT: self.output_size}
        sizes |= {hidden_axis(layer): self.hidden_size for layer in range(self.num_layers)}

        def add(name: str, *axes: str, gates: int) -> None:
            offset = tensors[-1].offset + tensors[-1].numel if tensors else 0
            axis_sizes = tuple(sizes[axis] for axis in axes)
            tensors.append(TensorSpec(name, axes, axis_sizes, gates, offset))

        below = INPUT
        for layer in range(self.num_layers):
            here = hidden_axis(layer)
            add(f"rnn.weight_ih_l{layer}", here, below, gates=self.gates)
            add(f"rnn.weight_hh_l{layer}", here, here, gates=self.gates)
            if self.bias:
                add(f"rnn.bias_ih_l{layer}", here, gates=self.gates)
                add(f"rnn.bias_hh_l{layer}", here, gates=self.gates)
            below = here
        add("linear.weight", OUTPUT, below, gates=1)
        if self.bias:
            add("linear.bias", OUTPUT, gates=1)
        return tuple(tensors)

    @property
    def num_parameters(self) -> int:
        """Length ``N`` of the flat vector."""
        return self.tensors[-1].offset + self.tensors[-1].numel

    def to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        bias = "" if self.bias else ", no biases"
        return (
            f"{self.cell} {self.num_layers}x{self.hidden_size}, "
            f"{self.input_size} inputs, {self.output_size} outputs{bias}"
        )
