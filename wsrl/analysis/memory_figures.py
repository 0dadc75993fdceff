"""Figures of variable memories: arrays in, a matplotlib ``Figure`` out.

As in ``figures``, without pyplot. Variables are named by their place: ``k`` is the ``k``-th oldest
of the last ``s`` vectors, so that ``s`` is the newest, which is output.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_VALUES = "RdBu_r"
_FOUND, _EXPECTED, _FAINT = "#c44e52", "#4c72b0", "0.75"
_SHADES = Normalize(-1.4, 1.4)
"""Of variables in units of their size."""

_DPI = 150


def interactions_beside(phi: Array, found: Array, kept: Array, dims: int, title: str) -> Figure:
    """Draw ``Phi (r, r)`` beside ``Psi^* A Psi``, with lines between the vectors of ``d`` values.

    ``kept (r,)`` says which variables these are: ``j * d + i``.
    """
    figure = Figure(figsize=(9.2, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, 2)
    reach = max(1.0, min(2.0, float(np.abs(found).max())))
    panels = ((phi, r"task: $\Phi$"), (found, r"RNN: $\Psi^{*} A\, \Psi$"))
    for axis, (values, name) in zip(axes, panels, strict=True):
        image = axis.imshow(values, cmap=_VALUES, norm=Normalize(-reach, reach))
        for side in "xy":
            _name_blocks(axis, kept, dims, side)
        axis.set_title(name)
        axis.set_xlabel("from vector")
    axes[0].set_ylabel("to vector")
    extend = "both" if np.abs(found).max() > reach else "neither"
    figure.colorbar(image, ax=axes, label="weight", fraction=0.05, pad=0.02, extend=extend)
    figure.suptitle(title)
    return figure


def spectra(found: Array, expected: Array, threshold: float, title: str) -> Figure:
    """Draw an RNN's eigenvalues on the complex plane, with the lasting ones of the task."""
    figure = Figure(figsize=(6.6, 4.4), dpi=_DPI, layout="compressed")
    axis = figure.subplots()
    around = np.exp(1j * np.linspace(0, 2 * np.pi, 400))
    axis.plot(around.real, around.imag, color="0.3", linewidth=0.8, label="unit circle")
    inner = threshold * around
    axis.plot(inner.real, inner.imag, "--", color="0.6", linewidth=0.8, label="threshold")
    lasting = np.abs(found) > threshold
    rest, kept = found[~lasting], found[lasting]
    axis.scatter(rest.real, rest.imag, s=10, color=_FAINT, label=f"RNN, decaying ({len(rest)})")
    axis.scatter(kept.real, kept.imag, s=20, color=_FOUND, label=f"RNN, lasting ({len(kept)})")
    axis.scatter(
        expected.real,
        expected.imag,
        s=80,
        facecolors="none",
        edgecolors=_EXPECTED,
        linewidths=1.2,
        label=f"task ({len(expected)})",
    )
    axis.set_aspect("equal")
    axis.set(xlabel="real part", ylabel="imaginary part")
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def variables_over_time(read: Array, truth: Array, kept: Array, dims: int, title: str) -> Figure:
    """Draw the hidden state in the basis of variables, over what it should be.

    ``read`` and ``truth`` are ``(1 + T, r)``, of one sequence; the rest as ``interactions_beside``.
    """
    figure = Figure(figsize=(9.2, 6.4), dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    size = float(np.sqrt(np.square(read).mean())) or 1.0
    panels = (
        (read / size, rf"read in the RNN: $\Psi^{{*}} h(t)$, in units of {size:.2g}"),
        (truth, "true"),
    )
    for axis, (values, name) in zip(axes, panels, strict=True):
        image = axis.imshow(
            values.T, aspect="auto", cmap=_VALUES, norm=_SHADES, interpolation="nearest"
        )
        _name_blocks(axis, kept, dims, "y")
        axis.set_title(name, loc="left")
        axis.set_ylabel("variables of vector")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1].set_xlabel("steps after the input")
    extend = "both" if np.abs(read).max() > 1.4 * size else "neither"
    figure.colorbar(image, ax=axes, label="value", fraction=0.05, pad=0.02, extend=extend)
    figure.suptitle(title)
    return figure


def _name_blocks(axis: Axes, kept: Array, dims: int, side: str) -> None:
    """Label every block of variables by its vector, 1 (the oldest) to s; draw lines between."""
    blocks = kept // dims
    names = np.unique(blocks)
    axis.tick_params(length=0)
    axis.set(
        **{
            f"{side}ticks": [float(np.flatnonzero(blocks == name).mean()) for name in names],
            f"{side}ticklabels": names + 1,
        }
    )
    line = axis.axvline if side == "x" else axis.axhline
    for first in np.flatnonzero(np.diff(blocks)) + 0.5:
        line(first, color="0.5", linewidth=0.6)
