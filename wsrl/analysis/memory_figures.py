"""Figures of variable memories: arrays in, a matplotlib ``Figure`` or a film out.

As in ``figures``, without pyplot. Variables are named by their place: ``k`` is the ``k``-th oldest
of the last ``s`` vectors, so that ``s`` is the newest, which is output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

FILMS = ("gif", "mp4")
"""Kinds of animation: by Pillow, which matplotlib brings, and by ffmpeg, where it is installed."""

_VALUES = "RdBu_r"
_FOUND, _EXPECTED, _FAINT = "#c44e52", "#4c72b0", "0.75"
_SHADES = Normalize(-1.4, 1.4)
"""Of variables in units of their size."""

_DPI = 150


def check_film(kind: str) -> None:
    """Make sure that a kind of animation can be written here.

    Raises:
        ValueError: saying why not.
    """
    if kind not in FILMS:
        raise ValueError(f"unknown kind of animation {kind!r}; choose one of {', '.join(FILMS)}")
    if kind == "mp4" and not FFMpegWriter.isAvailable():
        raise ValueError("an animation in mp4 needs ffmpeg, which is not installed here: take gif")


def interactions_beside(phi: Array, found: Array, kept: Array, dims: int, title: str) -> Figure:
    """Draw ``Phi`` beside ``Psi^* A Psi``, with lines between the blocks.

    Args:
        phi: reduced, ``(r, r)``.
        found: ``(r, r)``.
        kept: ``(r,)``, which variables these are; ``j * d + i``.
        dims: ``d``.
        title: over the figure.
    """
    figure = Figure(figsize=(9.2, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, 2)
    reach = max(1.0, min(2.0, float(np.abs(found).max())))
    panels = ((phi, r"task: $\Phi$"), (found, r"RNN: $\Psi^{*} A\, \Psi$"))
    for axis, (values, name) in zip(axes, panels, strict=True):
        image = axis.imshow(values, cmap=_VALUES, norm=Normalize(-reach, reach))
        for first in np.flatnonzero(np.diff(kept // dims)) + 0.5:
            axis.axhline(first, color=_FAINT, linewidth=0.6)
            axis.axvline(first, color=_FAINT, linewidth=0.6)
        _name_blocks(axis, kept, dims, "x")
        _name_blocks(axis, kept, dims, "y")
        axis.set_title(name)
        axis.set_xlabel("from vector")
    axes[0].set_ylabel("to vector")
    _colour_bar(figure, image, list(axes), "weight", float(np.abs(found).max()) > reach)
    figure.suptitle(title)
    return figure


def spectra(found: Array, expected: Array, threshold: float, title: str) -> Figure:
    """Draw eigenvalues on the complex plane.

    Args:
        found: all of the RNN's, complex.
        expected: the task's lasting ones, complex.
        threshold: modulus above which an eigenvalue lasts.
        title: over the figure.
    """
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

    Args:
        read: ``(1 + T, r)``, of one sequence.
        truth: the same of the task.
        kept: ``(r,)``, which variables these are.
        dims: ``d``.
        title: over the figure.
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
        for first in np.flatnonzero(np.diff(kept // dims)) + 0.5:
            axis.axhline(first, color="0.2", linewidth=0.6)
        _name_blocks(axis, kept, dims, "y")
        axis.set_title(name, loc="left")
        axis.set_ylabel("variables of vector")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1].set_xlabel("steps after the input")
    _colour_bar(figure, image, list(axes), "value", bool(np.abs(read).max() > 1.4 * size))
    figure.suptitle(title)
    return figure


def read_against_true(read: Array, truth: Array, title: str) -> Figure:
    """Draw what is read of variables against what they are, and how often the sign is right.

    Args:
        read: ``(S, 1 + T, r)``.
        truth: the same of the task, -1 and 1.
        title: over the figure.
    """
    figure = Figure(figsize=(9.2, 3.8), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (2, 3)})
    reach = float(np.percentile(np.abs(read), 99.5)) * 1.1 or 1.0
    bins = np.linspace(-reach, reach, 61)
    for sign, colour in ((-1, _EXPECTED), (1, _FOUND)):
        chosen = read[np.sign(truth) == sign].clip(-reach, reach)
        left.hist(chosen, bins, color=colour, alpha=0.7, density=True, label=f"true {sign:+d}")
    left.axvline(0, color="0.3", linewidth=0.8)
    left.set(xlabel="value read", ylabel="density")
    left.margins(y=0.2)
    left.legend(frameon=False, loc="upper center", ncols=2)
    correct = (np.sign(read) == np.sign(truth)).mean(0)
    time = np.arange(len(correct))
    right.plot(time, correct.mean(1), color="0.15", label="all variables")
    right.plot(time, correct.min(1), color=_FOUND, linewidth=0.9, label="the worst at each step")
    right.axhline(0.5, color=_FAINT, linestyle="--", linewidth=0.8)
    right.annotate("chance", (time[-1], 0.5), ha="right", va="bottom", color="0.5", fontsize=8)
    right.set(xlabel="steps after the input", ylabel="signs right", ylim=(-0.02, 1.05))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(frameon=False, loc="lower left")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return figure


def write_circle_film(
    path: str | Path, read: Array, kept: Array, steps: int, dims: int, title: str
) -> None:
    """Write a film of the variables on a circle: each step they move on by one place.

    A sector is one of the last ``s`` vectors, the newest at the top, older ones clockwise; a ring
    is a dimension, the first outside. Places that the task does not need stay empty; the number in
    the middle counts the steps after the input.

    Args:
        path: ``.gif`` or ``.mp4``.
        read: ``(1 + T, r)``, of one sequence.
        kept: ``(r,)``, which variables these are.
        steps: ``s``.
        dims: ``d``.
        title: over the film.

    Raises:
        ValueError: for a kind that cannot be written here.
    """
    kind = Path(path).suffix.removeprefix(".")
    check_film(kind)
    figure = Figure(figsize=(4.2, 4.4), dpi=100)
    axis = figure.add_axes((0.12, 0.06, 0.76, 0.76), projection="polar")
    assert isinstance(axis, PolarAxes)
    size = float(np.sqrt(np.square(read).mean())) or 1.0
    colours = colormaps[_VALUES](_SHADES(read / size))
    ages = steps - 1 - kept // dims
    angle = 2 * np.pi / steps
    wedges = axis.bar(
        ages * angle,
        0.94,
        width=angle * 0.97,
        bottom=dims - kept % dims,
        color=colours[0],
        linewidth=0,
    )
    axis.set_theta_zero_location("N")
    axis.set_theta_direction(-1)
    axis.set_rlim(0, dims + 1.0)
    names = ["newest", *(f"{age} ago" for age in range(1, steps))]
    axis.set_xticks(np.arange(steps) * angle, names, fontsize=9)
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.spines["polar"].set_visible(False)
    figure.suptitle(title, fontsize=10, wrap=True)
    clock = axis.text(0, 0, "", ha="center", va="center", fontsize=11)

    def draw(step: int) -> tuple[Any, ...]:
        for wedge, colour in zip(wedges, colours[step], strict=True):
            wedge.set_facecolor(colour)
        clock.set_text(str(step))
        return ()

    film = FuncAnimation(figure, draw, frames=len(read), blit=False)
    writer = PillowWriter(fps=3) if kind == "gif" else FFMpegWriter(fps=3)
    film.save(str(path), writer=writer)


def _name_blocks(axis: Axes, kept: Array, dims: int, side: str) -> None:
    """Label every block of variables by its vector, 1 (the oldest) to s."""
    blocks = kept // dims
    names = np.unique(blocks)
    places = [float(np.flatnonzero(blocks == name).mean()) for name in names]
    labels = [str(name + 1) for name in names]
    axis.tick_params(length=0)
    if side == "x":
        axis.set_xticks(places, labels)
    else:
        axis.set_yticks(places, labels)


def _colour_bar(
    figure: Figure, image: AxesImage, axes: list[Axes], label: str, beyond: bool
) -> None:
    extend = "both" if beyond else "neither"
    figure.colorbar(image, ax=axes, label=label, fraction=0.05, pad=0.02, extend=extend)
