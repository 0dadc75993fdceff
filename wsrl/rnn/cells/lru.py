"""The linear recurrent unit: complex modes that do not hear each other."""

import math
from typing import final

import torch
from torch import Tensor

from wsrl.rnn.cells.base import (
    BELOW,
    HIDDEN,
    Axis,
    Cell,
    CellTensor,
    Driven,
    LayerState,
    Symmetry,
    Tensors,
    project,
)
from wsrl.rnn.cells.matrix import random_bases
from wsrl.rnn.cells.registry import register_cell

MODES = Axis("modes")

SLOWEST, FASTEST = 0.999, 0.5
"""Moduli of eigenvalues between which those of modes lie, before training."""

LARGEST_LOGARITHM = 30.0  # beyond it eigenvalues mean nothing, and numbers would overflow


def _radii(drawn: Tensor) -> Tensor:
    """Return ``nu_log`` of moduli that are uniform in the ring's area."""
    share = (drawn.clamp(-1, 1) + 1) / 2
    return (-(FASTEST**2 + share * (SLOWEST**2 - FASTEST**2)).log() / 2).log()


def _angles(drawn: Tensor) -> Tensor:
    """Return ``theta_log`` of uniform angles."""
    return (math.pi * (drawn.clamp(-1, 1) + 1).clamp(min=1e-3)).log()


def _scales(drawn: Tensor) -> Tensor:
    """Return ``gamma_log`` that keeps the variance of modes of a middling modulus."""
    return torch.full_like(drawn, math.log(1 - (FASTEST**2 + SLOWEST**2) / 2) / 2)


@final
@register_cell
class LRU(Cell):
    """A linear recurrent unit, ``s' = lambda s + gamma (B u)``, read as ``Re(C s') + D u``.

    There are as many modes as neurons, each complex, with ``gamma = exp(gamma_log)`` and
    ``lambda = exp(-exp(nu_log) + i exp(theta_log))``. ``B`` and ``C`` are complex, too; ``D`` is a
    full matrix. A layer has no biases. Logarithms act up to 30, so that nothing overflows.

    Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", as
    minimal-LRU has it, whose ``D`` is a diagonal.
    """

    name = "lru"
    state = ("re", "im")
    state_axis = MODES
    affine = True

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """What the modes, and what is read of them, may be multiplied by; their order."""
        return (
            Symmetry("modes scaled", _scale_modes),
            Symmetry("modes reordered", _reorder_modes),
            Symmetry("modes conjugated", _conjugate_modes),
            Symmetry("changes of basis", _mix_outputs),
        )

    def tensors(self, bias: bool) -> tuple[CellTensor, ...]:
        """Return the eigenvalues' parts, the scales, ``B``, ``C`` and ``D``."""
        return (
            CellTensor("nu_log", (MODES,), initial=_radii),
            CellTensor("theta_log", (MODES,), initial=_angles),
            CellTensor("gamma_log", (MODES,), initial=_scales),
            CellTensor("B_re", (MODES, BELOW)),
            CellTensor("B_im", (MODES, BELOW)),
            CellTensor("C_re", (HIDDEN, MODES)),
            CellTensor("C_im", (HIDDEN, MODES)),
            CellTensor("D", (HIDDEN, BELOW)),
        )

    def prepare(self, tensors: Tensors) -> Tensors:
        """Return the eigenvalues, and turn the matrices; all that reads the input is one."""
        names = ("nu_log", "theta_log", "gamma_log")
        nu, theta, gamma = (tensors[name].clamp(max=LARGEST_LOGARITHM).exp() for name in names)
        modulus, scale = torch.exp(-nu), gamma[:, :, None]
        inward = torch.cat([scale * tensors["B_re"], scale * tensors["B_im"], tensors["D"]], 1)
        return {
            "re": (modulus * theta.cos())[:, None],
            "im": (modulus * theta.sin())[:, None],
            "input": inward.mT,
            "output": torch.cat([tensors["C_re"], -tensors["C_im"]], 2).mT,
        }

    def drive(self, weights: Tensors, values: Tensor) -> Driven:
        """Return the real and the imaginary part of ``gamma B u``, and ``D u``."""
        return project(values, weights["input"]).chunk(3, -1)

    def step(self, weights: Tensors, driven: Driven, state: LayerState) -> LayerState:
        """Return the next real and imaginary parts."""
        (re, im), (re_in, im_in, _) = state, driven
        new_re = torch.addcmul(torch.addcmul(re_in, weights["re"], re), weights["im"], im, value=-1)
        return new_re, torch.addcmul(torch.addcmul(im_in, weights["re"], im), weights["im"], re)

    def read(self, weights: Tensors, driven: Driven, state: LayerState) -> Tensor:
        """Return ``Re(C s) + D u``."""
        return driven[2] + project(torch.cat(state, -1), weights["output"])


def _scale_modes(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Multiply a mode's row of ``B`` and divide its column of ``C``; ``gamma`` takes a part."""
    drawn = torch.randn(3, *tensors["gamma_log"].shape, generator=generator, dtype=torch.float64)
    size, angle, shift = drawn.to(tensors["gamma_log"]) / 2
    factor = torch.polar(size.exp(), angle)
    inward = torch.complex(tensors["B_re"], tensors["B_im"])
    inward = inward * (factor * torch.exp(-shift))[:, :, None]
    outward = torch.complex(tensors["C_re"], tensors["C_im"]) / factor[:, None]
    new = {"gamma_log": tensors["gamma_log"] + shift, "B_re": inward.real, "B_im": inward.imag}
    new |= {"C_re": outward.real, "C_im": outward.imag}
    if "initial_re" in tensors:
        first = torch.complex(tensors["initial_re"], tensors["initial_im"]) * factor
        new |= {"initial_re": first.real, "initial_im": first.imag}
    return {**tensors, **new}, None


def _reorder_modes(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Move every mode on by a number of places, each RNN's its own."""
    batch, size = tensors["nu_log"].shape
    first = torch.randint(1, max(size, 2), (batch, 1), generator=generator)
    order = ((first + torch.arange(size)) % size).to(tensors["nu_log"].device)
    changed = {}
    for name, value in tensors.items():
        if name == "D":
            changed[name] = value
        elif name in ("C_re", "C_im"):
            changed[name] = value.take_along_dim(order[:, None], 2)
        else:
            rows = order if value.ndim == 2 else order[:, :, None]
            changed[name] = value.take_along_dim(rows, 1)
    return changed, None


def _conjugate_modes(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Conjugate some modes, the first always: the angle turns round, with all that is imaginary."""
    angle = tensors["theta_log"].exp()
    chosen = torch.randint(2, angle.shape, generator=generator).to(angle.device).bool()
    chosen[:, 0] = True
    signs = torch.where(chosen, -1, 1)
    turns = 2 * math.pi * (angle / (2 * math.pi)).floor().add(1)  # the new angle is positive, too
    new = {"theta_log": torch.where(chosen, (turns - angle).log(), tensors["theta_log"])}
    new |= {"B_im": tensors["B_im"] * signs[:, :, None], "C_im": tensors["C_im"] * signs[:, None]}
    if "initial_im" in tensors:
        new["initial_im"] = tensors["initial_im"] * signs
    return {**tensors, **new}, None


def _mix_outputs(
    tensors: Tensors, generator: torch.Generator | None
) -> tuple[Tensors, Tensor | None]:
    """Change the basis of what is read, which is linear in the modes and the input."""
    batch, size, _ = tensors["D"].shape
    maps = random_bases(batch, size, generator).to(tensors["D"])
    return {**tensors, **{name: maps @ tensors[name] for name in ("C_re", "C_im", "D")}}, maps
