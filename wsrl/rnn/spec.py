"""What an RNN is made of: cell, sizes, and the names, shapes and offsets of its flat vector.

The layout is spelled here and nowhere else: layer by layer the tensors of the cell, then those of
the readout. Of the cells of ``torch.nn`` it is the order in which their parameters are listed.
"""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from wsrl.rnn.cells import BELOW, HIDDEN, Axis, Cell, CellTensor, get_cell

# No RNN has more; a file that says so would have lists made for every layer of them.
MAX_LAYERS = 1000
# No layer, input or output is larger; with it the numbers of an RNN can be counted in 63 bits.
MAX_SIZE = 1 << 24
INPUT, OUTPUT = "input", "output"
_OUT = Axis(OUTPUT)


def layer_name(tensor: str, layer: int) -> str:
    """Return the name in an RNN of a cell's tensor: ``weight_ih`` is ``rnn.weight_ih_l0``."""
    return f"rnn.{tensor}_l{layer}"


def hidden_axis(layer: int) -> str:
    """Return the label of the axis of the hidden neurons of one layer."""
    return f"hidden_{layer}"


@dataclass(frozen=True)
class RNNInterface:
    """What RNNs of any cell and size may have in common: the sizes of inputs and outputs.

    Attributes:
        input_size: size ``I`` of an input vector.
        output_size: size ``O`` of an output vector.
    """

    input_size: int
    output_size: int

    def __post_init__(self) -> None:
        _check_sizes(self, ("input_size", "output_size"))

    @property
    def interface(self) -> "RNNInterface":
        """Itself, as ``RNNSpec.interface`` returns one."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {"input_size": self.input_size, "output_size": self.output_size}

    def __str__(self) -> str:
        return f"any cell and size, {self.input_size} inputs, {self.output_size} outputs"


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
    """A recurrent network with a linear readout.

    Attributes:
        cell: a registered cell (``list_cells``), with its options as in ``low_rank(rank=2)``.
        input_size: size ``I`` of an input vector.
        hidden_size: neurons ``H`` of every layer.
        num_layers: stacked layers ``L``.
        output_size: size ``O`` of an output vector.
        bias: whether cells and readout have biases (all or none).

    >>> print(RNNSpec("lstm", 6, 32, 2, 6), RNNSpec("lstm", 6, 32, 2, 6).num_parameters)
    lstm 2x32, 6 inputs, 6 outputs 13766
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    output_size: int
    bias: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.cell, str):
            raise ValueError(f"a cell is given by its name, not as {self.cell!r}")
        object.__setattr__(self, "cell", str(get_cell(self.cell)))  # one spelling for one cell
        _check_sizes(self, ("input_size", "hidden_size", "num_layers", "output_size"))
        if not isinstance(self.bias, bool):
            raise ValueError(f"bias must be True or False, not {self.bias!r}")

    @property
    def kind(self) -> Cell:
        """What is known of the cell."""
        return get_cell(self.cell)

    @property
    def interface(self) -> RNNInterface:
        """The sizes of inputs and outputs."""
        return RNNInterface(self.input_size, self.output_size)

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

        def add(tensor: CellTensor, name: str, axes: Mapping[Axis, tuple[str, int]]) -> None:
            offset = tensors[-1].offset + tensors[-1].numel if tensors else 0
            labels, sizes = zip(*(axes[axis] for axis in tensor.axes), strict=True)
            tensors.append(TensorSpec(name, labels, sizes, tensor.gates, offset, tensor.trained))

        below = (INPUT, self.input_size)
        for layer in range(self.num_layers):
            here = (hidden_axis(layer), self.hidden_size)
            for tensor in self.kind.tensors(self.bias):
                own = {a: (f"{a.name}_{layer}", a.size or self.hidden_size) for a in tensor.axes}
                add(tensor, layer_name(tensor.name, layer), own | {HIDDEN: here, BELOW: below})
            below = here
        readout = {_OUT: (OUTPUT, self.output_size), BELOW: below}
        add(CellTensor("weight", (_OUT, BELOW)), "linear.weight", readout)
        if self.bias:
            add(CellTensor("bias", (_OUT,)), "linear.bias", readout)
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


def read_interface(values: Mapping[str, Any]) -> RNNSpec | RNNInterface:
    """Return what ``to_dict`` of a spec, or of an interface, described.

    >>> print(read_interface({"input_size": 6, "output_size": 6}))
    any cell and size, 6 inputs, 6 outputs
    """
    return RNNSpec(**values) if "cell" in values else RNNInterface(**values)


def _check_sizes(of: object, names: tuple[str, ...]) -> None:
    for name in names:
        most, value = MAX_LAYERS if name == "num_layers" else MAX_SIZE, getattr(of, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(
                f"{name} must be a whole number of at least 1 and at most {most}, not "
                f"{reprlib.repr(value)}"
            )
