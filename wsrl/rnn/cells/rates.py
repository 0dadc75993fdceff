"""What leaky cells share: three forms of the update, nonlinearities, leaks."""

import math
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from typing import final

import torch
from torch import Tensor
from typing_extensions import Self

from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Axis,
    Cell,
    CellTensor,
    Driven,
    LayerState,
    Tensors,
    project,
)
from wsrl.rnn.cells.matrix import random_scales, random_signs

FORMS = ("rate", "state", "inside")

NONLINEARITIES = ("tanh", "relu", "softplus", "retanh", "sigmoid")

NEURONS = {"tanh": ("sign flips", random_signs), "relu": ("positive scaling", random_scales)}
"""What a neuron's values may be multiplied by, where its targets take the inverse: name, draw."""


@dataclass(frozen=True)
class RateCell(Cell):
    """A cell whose state leaks, ``a`` being the step over the time constant.

    With the sum ``W r + U x + b`` of what a neuron hears it is in one of three forms:

    - ``rate``: ``h' = (1 - a) h + a f(W h + U x + b)``;
    - ``state``: ``s' = (1 - a) s + a (W f(s) + U x + b)``, read as ``f(s)``;
    - ``inside``: ``h' = f((1 - a) h + a (W h + U x + b))``.

    Attributes:
        form: one of them.
        nonlinearity: ``f``: tanh, relu, softplus, retanh (tanh, not below 0) or sigmoid.
        alpha: initial value of the tensor ``alpha``, which holds ``a``; used clamped to [0, 1].
    """

    form: str = "rate"
    nonlinearity: str = "tanh"
    alpha: float = 0.2

    def __post_init__(self) -> None:
        check_option("form", self.form, FORMS)
        check_option("nonlinearity", self.nonlinearity, NONLINEARITIES)
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be above 0 and at most 1, not {self.alpha}")

    @abstractmethod
    def matrix(self, tensors: Tensors) -> Tensor:
        """Return the recurrent matrix ``W (B, H, H)``."""

    @final
    def simplify(self, tensors: Tensors) -> Tensors:
        """Work out the matrix and each neuron's leak; without inner leak, all is an Elman cell."""
        inputs, recurrent = tensors["weight_ih"], self.matrix(tensors)
        leak = tensors["alpha"].clamp(0, 1).expand(inputs.shape[:2])
        bias, more = tensors.get("bias"), {"alpha": leak}
        if self.form == "inside":
            inputs, recurrent = leak[:, :, None] * inputs, leak[:, :, None] * recurrent
            recurrent = recurrent + (1 - leak).diag_embed()
            more = {}
            if bias is not None:
                more = {"bias_ih": leak * bias, "bias_hh": torch.zeros_like(bias)}
        elif bias is not None:
            more["bias"] = bias
        return {"weight_ih": inputs, "weight_hh": recurrent, **more}

    @abstractmethod
    def couple(self, weights: Tensors, sums: Tensor, rates: Tensor) -> Tensor:
        """Return ``sums`` and what neurons hear of each other's ``rates``, ``(B, S, H)``."""

    @final
    def reads(self) -> CellTensor:
        """Return the input's matrix; it starts as that of ``nn.Linear``, as others' leaky RNNs."""
        return CellTensor("weight_ih", (HIDDEN, BELOW), initial=_by_inputs)

    @final
    def leaks(self, axis: Axis, trained: bool) -> CellTensor:
        """Return the tensor ``alpha``."""
        initial = lambda drawn: torch.full_like(drawn, self.alpha)  # noqa: E731
        return CellTensor("alpha", (axis,), initial=initial, trained=trained, bounds=(0, 1))

    @final
    def in_all_forms(self) -> list[Self]:
        """Return the cell with every form and nonlinearity; itself first."""
        ways = [(self.form, self.nonlinearity), *product(FORMS, NONLINEARITIES)]
        return [replace(self, form=form, nonlinearity=f) for form, f in dict.fromkeys(ways)]

    @final
    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return the inputs' part of the sums."""
        return (project(values, weights["input"], weights.get("bias")),)

    @final
    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return the next ``h``, or ``s``."""
        (old,), (heard_in,), active = state, driven, ACTIVATIONS[self.nonlinearity]
        if self.form == "rate":
            new = active(self.couple(weights, heard_in, old))
            return (torch.lerp(old, new, weights["alpha"]),)
        kept = torch.addcmul(heard_in, weights["kept"], old)
        if self.form == "inside":
            return (active(self.couple(weights, kept, old)),)
        heard = old + weights["shift"] if "shift" in weights else old
        return (self.couple(weights, kept, active(heard)),)

    @final
    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return ``h``, or ``f(s)``."""
        return ACTIVATIONS[self.nonlinearity](state[0]) if self.form == "state" else state[0]

    @final
    def with_leak(self, alpha: Tensor, **turned: Tensor) -> Tensors:
        """Return turned matrices ``(B, in, H)`` and biases ``(B, H)`` with the leak worked in.

        Where the leak multiplies the whole sum it multiplies the weights, once for all steps.
        """
        share = alpha.clamp(0, 1)[:, None]
        if self.form == "rate":
            return {"alpha": share, **turned}
        scaled = {n: v * (share if v.ndim == 3 else share[:, 0]) for n, v in turned.items()}
        return {"kept": 1 - share, **scaled}


def _by_inputs(drawn: Tensor) -> Tensor:
    return drawn / math.sqrt(drawn.shape[-1])


def check_option(name: str, value: str, choices: Collection[str]) -> None:
    """Refuse, by a ``ValueError``, an option that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
