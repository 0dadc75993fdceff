"""RNNs in parts, as files of others have them, put together as flat weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from wsrl.rnn.cells import Cell, get_cell
from wsrl.rnn.formats.content import listed
from wsrl.rnn.formats.filling import filled_up
from wsrl.rnn.spec import RNNSpec, initial_name, layer_name, readout_name
from wsrl.rnn.weights import RNNWeights

Affine: TypeAlias = tuple[Tensor, Tensor | None]
"""A matrix ``(to, from)`` and its bias ``(to,)``, as those of ``nn.Linear``."""


@dataclass(frozen=True)
class Parts:
    """One RNN in parts. Biases that are not given are zero. Smaller layers are filled up.

    Attributes:
        cell: its name, with options.
        layers: the tensors of the cell in each layer, by the cell's names.
        readout: its layers, the last one last.
        input: the linear layer before the first layer of the cell.
        initial: the first state of each layer by its parts; zero where none is given.
        readout_activation: between the layers of the readout.
        output_activation: after the last one.
        keys: in the file, by the names of the spec's tensors; for messages.

    >>> layer = {"weight_ih": torch.ones(3, 2), "weight_hh": torch.eye(3)}
    >>> print(Parts("tanh", [layer], [(torch.ones(1, 3), torch.zeros(1))]).weights().spec)
    tanh 1x3, 2 inputs, 1 outputs
    """

    cell: str
    layers: Sequence[Mapping[str, Tensor]]
    readout: Sequence[Affine]
    input: Affine | None = None
    initial: Sequence[Mapping[str, Tensor]] = ()
    readout_activation: str = "relu"
    output_activation: str = "none"
    keys: Mapping[str, str] = field(default_factory=dict)

    def weights(self) -> RNNWeights:
        """Return the RNN as weights ``(1, N)``, float64 if any part is, else float32.

        Raises:
            ValueError: where the shapes of the parts are not those of one RNN, or the cell refuses
                its tensors.
        """
        kind = get_cell(self.cell)
        layers, added = filled_up(kind, self.layers)
        (weight, bias), *others = self.readout
        whole = replace(
            self,
            layers=layers,
            readout=[(pad(weight, (0, added[-1])), bias), *others],
            initial=[
                {name: pad(value, (0, more)) for name, value in first.items()}
                for first, more in zip(self.initial, added, strict=False)
            ],
        )
        spec = whole._spec(kind)
        given = dict(whole._named(spec))
        if other := [name for name, value in given.items() if not value.is_floating_point()]:
            raise ValueError(f"weights must be floating point numbers: {self._called(*other)}")
        wrong = [
            f"{self._called(tensor.name)} is {tuple(given[tensor.name].shape)}, not {tensor.shape}"
            for tensor in spec.tensors
            if tensor.name in given and given[tensor.name].shape != tensor.shape
        ]
        if wrong:
            raise ValueError(f"shapes do not fit one RNN ({spec}): {'; '.join(wrong[:8])}")
        wide = any(value.dtype == torch.float64 for value in given.values())
        dtype = torch.float64 if wide else torch.float32
        zeros = {tensor.name: torch.zeros(tensor.shape, dtype=dtype) for tensor in spec.tensors}
        parts = [given.get(name, zero).to(dtype).reshape(-1) for name, zero in zeros.items()]
        return RNNWeights(torch.cat(parts)[None], spec)

    def _called(self, *names: str) -> str:
        return listed(self.keys.get(name, name) for name in names)

    def _spec(self, kind: Cell) -> RNNSpec:
        with_bias = {tensor.name for tensor in kind.tensors(True)}
        biases = with_bias - {tensor.name for tensor in kind.tensors(False)}
        given = [name for layer in self.layers for name in layer]
        bias = bool(biases & set(given)) or any(bias is not None for _, bias in self.readout)
        shapes = {name: tuple(value.shape) for name, value in self.layers[0].items()}
        sizes = kind.sizes(shapes, bias=False)
        if sizes is None:
            told = ", ".join(f"{name} is {shape}" for name, shape in shapes.items())
            raise ValueError(f"such shapes are of no {self.cell} RNN: {told}")
        below, hidden = sizes
        widths = [weight.shape[0] for weight, _ in self.readout]
        return RNNSpec(
            self.cell,
            below if self.input is None else self.input[0].shape[1],
            hidden,
            len(self.layers),
            widths[-1],
            bias,
            input_width=0 if self.input is None else below,
            input_bias=self.input is not None and self.input[1] is not None,
            readout_widths=tuple(widths[:-1]),
            readout_activation=self.readout_activation,
            initial_state=bool(self.initial),
            output_activation=self.output_activation,
        )

    def _named(self, spec: RNNSpec) -> Iterator[tuple[str, Tensor]]:
        """Yield what is given by the names in a spec."""
        for layer, tensors in enumerate(self.layers):
            yield from ((layer_name(name, layer), value) for name, value in tensors.items())
        for layer, first in enumerate(self.initial):
            yield from ((initial_name(name, layer), value) for name, value in first.items())
        linear = {readout_name("", k)[:-1]: affine for k, affine in enumerate(self.readout)}
        if self.input is not None:
            linear["input"] = self.input
        for name, (weight, bias) in linear.items():
            yield f"{name}.weight", weight
            if bias is not None:
                yield f"{name}.bias", bias


def folded(*linear: Affine) -> Affine:
    """Return one linear layer for several, one after the other, without nonlinearities between.

    >>> folded((torch.ones(2, 3), None), (torch.ones(1, 2), torch.ones(1)))
    (tensor([[2., 2., 2.]]), tensor([1.]))
    """
    if len(linear) == 1:
        return linear[0]
    if any(not v.is_floating_point() for layer in linear for v in layer if v is not None):
        raise ValueError("weights must be floating point numbers, not those of a linear layer")
    weight, bias = linear[0][0].double(), linear[0][1]
    bias = None if bias is None else bias.double()
    for matrix, shift in linear[1:]:
        weight = matrix.double() @ weight
        parts = [matrix.double() @ bias] if bias is not None else []
        parts += [shift.double()] if shift is not None else []
        bias = torch.stack(parts).sum(0) if parts else None
    dtype = reduce(torch.promote_types, (matrix.dtype for matrix, _ in linear))
    return weight.to(dtype), None if bias is None else bias.to(dtype)


def readout_of(steps: Sequence[Affine | str]) -> tuple[list[Affine], str, str]:
    """Return linear layers and names of nonlinearities in a row as ``Parts`` has them.

    Linear layers that follow each other directly become one.

    Returns:
        ``readout``, ``readout_activation`` and ``output_activation``.

    Raises:
        ValueError: for a readout that is none of ``Parts``.

    >>> layer = torch.eye(2), None
    >>> readout, inner, final = readout_of([layer, layer, "tanh", layer, "softmax"])
    >>> len(readout), inner, final
    (2, 'tanh', 'softmax')
    """
    layers: list[Affine] = []
    activations: list[str] = []
    for step in steps:
        if not isinstance(step, str):
            if activations[-1:] == ["none"]:
                layers[-1] = folded(layers[-1], step)
            else:
                layers, activations = [*layers, step], [*activations, "none"]
        elif step != "none":
            if activations[-1:] != ["none"]:
                before = activations[-1] if activations else "the cell"
                raise ValueError(f"a nonlinearity ({step}) follows {before}, not a linear layer")
            activations[-1] = step
    if not layers:
        raise ValueError("no linear layer follows the cell, as a readout")
    *inner, final = activations
    if len(set(inner)) > 1:
        raise ValueError(f"a readout with several nonlinearities within: {', '.join(inner)}")
    return layers, inner[0] if inner else "relu", final


def blocks(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Return a tensor's blocks of rows in another order; ``order[k]`` is where block ``k`` was.

    >>> blocks(torch.tensor([0, 0, 1, 1, 2, 2]), (1, 0, 2))
    tensor([1, 1, 0, 0, 2, 2])
    """
    parts = tensor.chunk(len(order))
    return torch.cat([parts[place] for place in order])
