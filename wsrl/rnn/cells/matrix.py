"""Cells with the four tensors of ``torch.nn``: two matrices and two biases, all in gates."""

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import ClassVar, final

import torch
from torch import Tensor

from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Cell,
    CellTensor,
    Driven,
    LayerState,
    NeuronFactors,
    Symmetry,
    Tensors,
    project,
)


class MatrixCell(Cell):
    """A cell with ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``.

    Attributes:
        gates: blocks of rows of each tensor.
        summed: from the first gate on, so many whose two biases are added up.
        candidate: the gate whose sum is what a neuron is to become.
        input_gate: the gate that lets a neuron take its candidate in, if there is one.
        gain: weight by which a neuron passes on, without loss, that another one is active; ``None``
            where a neuron that nothing reaches is not 0.
    """

    gates: ClassVar[int]
    summed: ClassVar[int]
    candidate: ClassVar[int] = 0
    input_gate: ClassVar[int | None] = None
    gain: ClassVar[float | None] = 1.0

    @final
    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return the four tensors, or the two matrices."""
        matrices = (
            CellTensor("weight_ih", (HIDDEN, BELOW), self.gates),
            CellTensor("weight_hh", (HIDDEN, HIDDEN), self.gates),
        )
        biases = tuple(CellTensor(f"bias_{k}", (HIDDEN,), self.gates) for k in ("ih", "hh"))
        return matrices + biases if bias else matrices

    @final
    def prepare(self, tensors: Tensors) -> Tensors:
        """Turn the matrices, and add up the biases where no gate needs one of them apart."""
        weights = {"input": tensors["weight_ih"].mT, "recurrent": tensors["weight_hh"].mT}
        if "bias_ih" not in tensors:
            return weights
        b_ih, b_hh = tensors["bias_ih"], tensors["bias_hh"]
        if self.summed == self.gates:
            return weights | {"bias": b_ih + b_hh}  # once for all steps, not in each
        return weights | {"bias": b_ih, "recurrent_bias": b_hh[:, None]}

    @final
    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return the inputs' part of the sums in all gates."""
        return (project(values, weights["input"], weights.get("bias")),)

    @final
    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return ``h``."""
        return state[0]


class Elman(MatrixCell):
    """An Elman cell, ``h' = f(W_ih x + W_hh h + b)``."""

    gates = 1
    summed = 1

    @abstractmethod
    def activation(self, values: Tensor) -> Tensor:
        """Return ``f`` of each value."""

    @final
    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return ``h'``."""
        return (self.activation(torch.baddbmm(driven[0], state[0], weights["recurrent"])),)


def remixed(
    name: str,
    draw: Callable[[int, int, torch.Generator | None], Tensor],
    gate: int = 0,
    columns: str = "weight_hh",
    kept: Collection[str] = (),
) -> Symmetry:
    """Return a symmetry: rows of one gate by ``M``, columns of the recurrent matrix by ``M^-1``.

    Args:
        name: of the symmetry.
        draw: gives maps ``M (B, H, H)`` for ``B``, ``H`` and a generator.
        gate: whose rows.
        columns: the name of the recurrent matrix.
        kept: tensors whose rows stay as they are.
    """

    def change(
        tensors: Tensors, generator: torch.Generator | None
    ) -> tuple[Tensors, Tensor | None]:
        batch, _, size = tensors[columns].shape
        maps = draw(batch, size, generator).to(tensors[columns])
        rows, changed = slice(gate * size, (gate + 1) * size), {}
        for key, value in tensors.items():
            value = value.clone()
            if key.startswith("initial_"):
                changed[key] = (maps @ value[:, :, None])[:, :, 0]
                continue
            if key not in kept:
                part = value[:, rows] if value.ndim == 3 else value[:, rows, None]
                part.copy_(maps @ part)
            changed[key] = value @ torch.linalg.inv(maps) if key == columns else value
        return changed, maps

    signs, single = draw is random_signs, draw in (random_signs, random_scales)
    factors = NeuronFactors(signs, gate, columns, tuple(kept)) if single else None
    return Symmetry(name, change, factors)


def split_biases(summed: int, gates: int) -> Symmetry:
    """Return a symmetry: what one bias of the first ``summed`` gates loses, the other gains."""

    def change(
        tensors: Tensors, generator: torch.Generator | None
    ) -> tuple[Tensors, Tensor | None]:
        if "bias_ih" not in tensors:
            return tensors, None
        bias = tensors["bias_ih"]
        shift = torch.randn(bias.shape, generator=generator, dtype=torch.float64).to(bias)
        shift[:, bias.shape[1] // gates * summed :] = 0
        moved = {"bias_ih": bias + shift, "bias_hh": tensors["bias_hh"] - shift}
        return {**tensors, **moved}, None

    def add_up(tensors: Tensors) -> Tensors:
        if "bias_ih" not in tensors:
            return tensors
        first, second = tensors["bias_ih"].clone(), tensors["bias_hh"].clone()
        part = slice(first.shape[1] // gates * summed)
        first[:, part] += second[:, part]
        second[:, part] = 0
        return {**tensors, "bias_ih": first, "bias_hh": second}

    return Symmetry("biases split otherwise", change, canonical=add_up)


def random_signs(batch: int, size: int, generator: torch.Generator | None) -> Tensor:
    """Draw ``+1`` or ``-1`` for each neuron, as maps; the first is always flipped."""
    signs = 1 - 2 * torch.randint(2, (batch, size), generator=generator).double()
    signs[:, 0] = -1
    return signs.diag_embed()


def random_scales(batch: int, size: int, generator: torch.Generator | None) -> Tensor:
    """Draw factors from 1/2 to 2 for the neurons, as maps."""
    drawn = torch.rand(batch, size, generator=generator, dtype=torch.float64)
    return torch.exp2(2 * drawn - 1).diag_embed()


def random_bases(batch: int, size: int, generator: torch.Generator | None) -> Tensor:
    """Draw matrices that are well invertible."""
    drawn = torch.randn(batch, size, size, generator=generator, dtype=torch.float64)
    return random_signs(batch, size, generator) + 0.5 * drawn / size
