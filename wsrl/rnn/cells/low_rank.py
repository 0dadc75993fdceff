"""RNNs whose recurrent matrix is of low rank, kept as its two factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from wsrl.rnn.cells.base import HIDDEN, Axis, Cell, CellTensor, Symmetry, Tensors
from wsrl.rnn.cells.leaky import simpler_than
from wsrl.rnn.cells.matrix import random_bases, remixed
from wsrl.rnn.cells.rates import NEURONS, RateCell, check_option
from wsrl.rnn.cells.registry import register_cell

BIASES = ("drive", "rates")
MOST_RANKS = 1 << 24  # as many as a layer can have neurons


def _other_factors(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Change the basis of the ranks: ``m G`` and ``G^-1 n``."""
    m, n = tensors["m"], tensors["n"]
    basis = random_bases(m.shape[0], m.shape[2], generator).to(m)
    return {**tensors, "m": m @ basis, "n": torch.linalg.solve(basis, n)}, None


@final
@register_cell
@dataclass(frozen=True)
class LowRank(RateCell):
    """A leaky RNN with ``W = m n``, ``s' = (1 - a) s + a (W f(s) + U x + b)`` or another form.

    Forms and nonlinearities are those of ``RateCell``. The factors are not multiplied out, nor
    divided by the number of neurons.

    Source: Mastrogiuseppe and Ostojic 2018; Valente et al. 2022.

    Attributes:
        rank: of ``W``.
        bias_in: ``drive``, as above, or ``rates`` (of the state form): the recurrence hears
            ``f(s + b)``, what is read is ``f(s)``, and ``U x`` has no bias.
    """

    name = "low_rank"
    form: str = "state"
    rank: int = 2
    bias_in: str = "drive"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option("bias_in", self.bias_in, BIASES)
        if not 1 <= self.rank <= MOST_RANKS:
            raise ValueError(f"rank must be at least 1 and at most {MOST_RANKS}, not {self.rank}")
        if self.bias_in == "rates" and self.form != "state":
            raise ValueError(f"bias_in='rates' needs form='state', not {self.form!r}")

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Other factors of the same matrix; sign flips (tanh) or scaling (relu)."""
        found = [Symmetry("changes of factors", _other_factors)]
        if self.nonlinearity in NEURONS:
            name, draw = NEURONS[self.nonlinearity]
            found.append(remixed(name, draw, columns="n", kept=("n", "alpha")))
        return tuple(found)

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return the input's matrix, the factors, the bias and ``alpha``."""
        ranks = Axis("rank", self.rank)
        return (
            self.reads(),
            CellTensor("m", (HIDDEN, ranks)),
            CellTensor("n", (ranks, HIDDEN)),
            *([CellTensor("bias", (HIDDEN,))] if bias else []),
            self.leaks(Axis("all", 1), trained=False),
        )

    def variants(self, shapes: Mapping[str, tuple[int, ...]]) -> Sequence[Cell]:
        """Return all forms, nonlinearities and ways of the bias; the rank is told by ``n``."""
        rank = next(iter(shapes.get("n", ())), self.rank) or self.rank
        found = [
            replace(self, rank=rank),
            *replace(self, rank=rank, bias_in="drive").in_all_forms(),
        ]
        if "bias" in shapes:
            found += [replace(one, bias_in="rates") for one in found if one.form == "state"]
        return list(dict.fromkeys(found))

    @property
    def simpler(self) -> str | None:
        """That of a leaky cell with the product as its matrix, but with ``bias_in='rates'``."""
        return simpler_than(self) if self.bias_in == "drive" else None

    def matrix(self, tensors: Tensors) -> Tensor:
        """Multiply the factors."""
        return tensors["m"] @ tensors["n"]

    def prepare(self, tensors: Tensors) -> Tensors:
        """Turn the matrices and work the leak in."""
        turned = {"input": tensors["weight_ih"].mT, "m": tensors["m"].mT}
        given, others = "bias" in tensors, {"n": tensors["n"].mT}
        if given and self.bias_in == "rates":
            others["shift"] = tensors["bias"][:, None]
        elif given:
            turned["bias"] = tensors["bias"]
        return {**self.with_leak(tensors["alpha"], **turned), **others}

    def couple(self, weights: Tensors, sums: Tensor, rates: Tensor) -> Tensor:
        """Return ``sums + m n rates``."""
        return torch.baddbmm(sums, torch.bmm(rates, weights["n"]), weights["m"])
