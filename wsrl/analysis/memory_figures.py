"""Figures of variable memories: arrays in, a matplotlib ``Figure`` out.

As in ``figures``, without pyplot. Variables are named by their place: ``k`` is the ``k``-th oldest
of the last ``s`` vectors, so that ``s`` is the newest, which is output. ``kept (r,)`` says which
variables are drawn, of vectors of ``dims`` values: ``j * dims + i``.
"""

from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_VALUES = "RdBu_r"
_LARGEST = 1.4  # of variables in units of their size

_DPI = 150


def interactions_beside(phi: Array, found: Array, kept: Array, dims: int, title: str) -> Figure:
    """Draw ``Phi (r, r)`` beside ``Psi^* A Psi``."""
    figure = Figure(figsize=(9.2, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, 2)
    largest = float(np.abs(found).max())
    reach = max(1.0, min(2.0, largest))
    panels = ((phi, r"task: $\Phi$"), (found, r"RNN: $\Psi^{*} A\, \Psi$"))
    for axis, (values, name) in zip(axes, panels, strict=True):
        image = axis.imshow(values, cmap=_VALUES, norm=Normalize(-reach, reach))
        for side in "xy":
            _name_blocks(axis, kept, dims, side)
        axis.set(title=name, xlabel="from vector")
    axes[0].set_ylabel("to vector")
    return _finished(figure, title, image, axes, "weight", largest > reach)


def spectra(found: Array, expected: Array, threshold: float, title: str) -> Figure:
    """Draw an RNN's eigenvalues on the complex plane, with the lasting ones of the task."""
    figure = Figure(figsize=(6.6, 4.4), dpi=_DPI, layout="compressed")
    axis = figure.subplots()
    around = np.exp(1j * np.linspace(0, 2 * np.pi, 400))
    for radius, line, name in ((1, "k-", "unit circle"), (threshold, "k--", "threshold")):
        axis.plot(*_plane(radius * around), line, alpha=0.6, linewidth=0.8, label=name)
    lasting = np.abs(found) > threshold
    hollow: Any = {"facecolors": "none", "edgecolors": "#4c72b0", "linewidths": 1.2}
    rest, kept = found[~lasting], found[lasting]
    axis.scatter(*_plane(rest), s=10, color="0.75", label=f"RNN, decaying ({len(rest)})")
    axis.scatter(*_plane(kept), s=20, color="#c44e52", label=f"RNN, lasting ({len(kept)})")
    axis.scatter(*_plane(expected), s=80, label=f"task ({len(expected)})", **hollow)
    axis.set_aspect("equal")
    axis.set(xlabel="real part", ylabel="imaginary part")
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def variables_over_time(read: Array, truth: Array, kept: Array, dims: int, title: str) -> Figure:
    """Draw the hidden state in the basis of variables, ``(1 + T, r)``, over what it should be."""
    figure = Figure(figsize=(9.2, 6.4), dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    size = float(np.sqrt(np.square(read).mean())) or 1.0
    ours = rf"read in the RNN: $\Psi^{{*}} h(t)$, in units of {size:.2g}"
    for axis, values, name in ((axes[0], read / size, ours), (axes[1], truth, "true")):
        shades: Any = {"cmap": _VALUES, "norm": Normalize(-_LARGEST, _LARGEST)}
        image = axis.imshow(values.T, aspect="auto", interpolation="nearest", **shades)
        _name_blocks(axis, kept, dims, "y")
        axis.set_title(name, loc="left")
        axis.set_ylabel("variables of vector")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1].set_xlabel("steps after the input")
    return _finished(figure, title, image, axes, "value", np.abs(read).max() > _LARGEST * size)


def _finished(
    figure: Figure, title: str, image: Any, axes: Any, label: str, beyond: bool
) -> Figure:
    extend = "both" if beyond else "neither"
    figure.colorbar(image, ax=axes, label=label, fraction=0.05, pad=0.02, extend=extend)
    figure.suptitle(title)
    return figure


def _plane(values: Array) -> tuple[Array, Array]:
    return values.real, values.imag


def _name_blocks(axis: Axes, kept: Array, dims: int, side: str) -> None:
    """Label every block of variables by its vector, 1 (the oldest) to s; draw lines between."""
    blocks = kept // dims
    names = np.unique(blocks)
    places = [float(np.flatnonzero(blocks == name).mean()) for name in names]
    axis.tick_params(length=0)
    axis.set(**{f"{side}ticks": places, f"{side}ticklabels": names + 1})
    line = axis.axvline if side == "x" else axis.axhline
    for first in np.flatnonzero(np.diff(blocks)) + 0.5:
        line(first, color="0.5", linewidth=0.6)
