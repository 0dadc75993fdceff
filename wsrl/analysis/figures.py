"""Figures: arrays in, a matplotlib ``Figure`` out.

Figures are made without pyplot, so nothing is kept open and no display is needed; save one with
``figure.savefig("name.png")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

Array: TypeAlias = NDArray[Any]

_PROBABILITIES = "magma"
_VALUES = "RdBu_r"
_MARKERS = "o^sDvP"
_DPI = 120
_MOST_PARTS = 6


def output_comparison(
    original: Array,
    emulated: Array,
    categorical: bool,
    title: str = "",
    labels: Sequence[str] = (),
) -> Figure:
    """Draw the outputs ``(T, O)`` of an RNN, those of its emulation, and how far they are apart.

    The distance is the total variation where they are probabilities (``categorical``), else the
    mean squared error. ``labels`` are names of the outputs, if they have some.
    """
    figure = Figure(figsize=(7.5, 5.2), dpi=_DPI, layout="constrained")
    top, middle, bottom = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": (3, 3, 2)}
    )
    norm = _norm(categorical, original, emulated)
    panels = ((top, original, "original RNN"), (middle, emulated, "emulator"))
    for axis, values, name in panels:
        image = _heatmap(axis, values, categorical, norm, labels)
        axis.set_ylabel("output")
        axis.set_title(name, loc="left")
    _colour_bar(figure, image, [top, middle], "probability" if categorical else "output")
    if categorical:
        distance, name = 0.5 * np.abs(original - emulated).sum(1), "total variation"
        bottom.set_ylim(0, 1.02)
    else:
        distance, name = np.square(original - emulated).mean(1), "mean squared error"
        bottom.set_ylim(0, float(distance.max()) * 1.1 or 1.0)
    bottom.bar(np.arange(len(distance)), distance, width=1, color="#c44e52", alpha=0.8)
    bottom.set_title(f"{name}, on average {distance.mean():.3f}", loc="left")
    bottom.set_xlabel("time step")
    bottom.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return figure


def probing_dialogue(
    inputs: Array,
    outputs: Array,
    categorical: bool,
    titles: Sequence[str],
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    images: Array | None = None,
) -> Figure:
    """Draw what a probing encoder asks RNNs and what they answer, one column an RNN.

    The inputs are ``(R, T, I)``, the answers ``(R, T, O)``, probabilities where ``categorical``.
    Inputs that are images are drawn as ``images (R, H, W)``.
    """
    count = len(inputs)
    figure = Figure(figsize=(1.2 + 3.6 * count, 4.6), dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, count, sharex=images is None, squeeze=False)
    asked, unit = inputs.min() >= 0 and inputs.max() <= 1, "output"
    rows = (
        (inputs, bool(asked), "probing inputs", "input", input_names),
        (outputs, categorical, "answers", "probability" if categorical else unit, output_names),
    )
    for row, (values, bounded, name, unit, named) in enumerate(rows):
        norm = _norm(bounded, values)
        for column in range(count):
            if images is not None and row == 0:
                image = axes[row, column].imshow(images[column], cmap="gray", norm=norm)
                axes[row, column].set(xticks=[], yticks=[])
            else:
                image = _heatmap(axes[row, column], values[column], bounded, norm, named)
            axes[row, column].set_title(name if row else f"{titles[column]}\n{name}", fontsize=10)
        if images is None or row:
            axes[row, 0].set_ylabel(unit.replace("probability", "output"))
        _colour_bar(figure, image, list(axes[row]), unit)
    for axis in axes[1]:
        axis.set_xlabel("time step")
    return figure


def embedding_map(
    embeddings: Array,
    performance: Array,
    tasks: Array,
    splits: Sequence[str],
    task_period: float | None = None,
    task_entries: Sequence[str] = (),
) -> Figure:
    """Draw embeddings on their first two principal components, coloured in two ways.

    Args:
        embeddings: ``(n, D)``.
        performance: ``(n,)``; NaN where it is not known, and not drawn if it is of none.
        tasks: ``(n, K)``. One varying entry is a colour scale; several become shades of red, green
            and blue (their three main directions, where there are more), so that tasks alike have
            colours alike.
        splits: the split of each of the ``n``; each split has its own marker, and the components
            are those of the first.
        task_period: of a task that is one number on a circle, what goes once round it; its colours
            then do so too.
        task_entries: names of the ``K`` entries of a task, if they have some.
    """
    names = list(dict.fromkeys(splits))
    membership = np.asarray(splits)
    points, explained = principal_components(embeddings, membership == names[0])
    colours, legend, by_task = _task_colours(tasks, task_period, task_entries)
    panels = [("task" + ("" if by_task else f":\n{legend}"), legend, colours, by_task)]
    known = performance[np.isfinite(performance)]
    if len(known):
        by_performance = {"cmap": "viridis", "norm": Normalize(*_range(known))}
        panels.insert(0, ("performance", "performance", performance, by_performance))
    figure = Figure(figsize=(0.5 + 5.5 * len(panels), 4.8), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (title, label, values, colouring) in zip(axes, panels, strict=True):
        for number, name in enumerate(names):
            chosen = membership == name
            marker = {"marker": _MARKERS[number % len(_MARKERS)], "s": 24, "alpha": 0.85}
            edge = {"edgecolors": "0.4", "linewidths": 0.3}
            drawn = axis.scatter(*points[chosen].T, c=values[chosen], **marker, **edge, **colouring)
            if axis is axes[-1]:
                axis.scatter([], [], color="0.35", label=name, **marker)
        if colouring:
            figure.colorbar(drawn, ax=axis, label=label)
        axis.set_title(f"coloured by {title}", loc="left")
        axis.set_xlabel(f"component 1 ({explained[0]:.0%} of variance)")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"component 2 ({explained[1]:.0%} of variance)")
    figure.legend(*axes[-1].get_legend_handles_labels(), title="split", loc="outside right upper")
    return figure


def confusion_matrices(target: Array, prediction: Array) -> Figure:
    """Draw how often each class is taken for each other, of class indices ``(n, parts)``.

    Rows are true classes and sum to 1.
    """
    count = int(max(target.max(), prediction.max())) + 1
    figure, axes = _parts(target.shape[1])
    for part, axis in enumerate(axes):
        matrix = confusion_matrix(
            target[:, part], prediction[:, part], labels=np.arange(count), normalize="true"
        )
        image = axis.imshow(matrix, cmap=_PROBABILITIES, norm=Normalize(0, 1))
        axis.set(xlabel="predicted class", ylabel="true class" if part == 0 else "")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(integer=True))
    _colour_bar(figure, image, axes, "share of the true class")
    return figure


def predicted_against_true(target: Array, prediction: Array) -> Figure:
    """Draw predicted numbers ``(n, parts)`` over true ones, with the diagonal."""
    figure, axes = _parts(target.shape[1])
    for part, axis in enumerate(axes):
        axis.scatter(target[:, part], prediction[:, part], s=16, alpha=0.7, linewidths=0)
        axis.axline((float(np.nanmean(target[:, part])),) * 2, slope=1, color="0.6", linewidth=0.8)
        axis.set(xlabel="true", ylabel="predicted" if part == 0 else "")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _parts(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with an axis for each part of a property; of many, the first ones."""
    shown = min(count, _MOST_PARTS)
    figure = Figure(figsize=(0.8 + 3.4 * shown, 3.6), dpi=_DPI, layout="constrained")
    axes = list(figure.subplots(1, shown, squeeze=False)[0])
    for part, axis in enumerate(axes):
        axis.set_title(f"part {part + 1} of {count}" if count > 1 else "", loc="left")
    return figure, axes


def principal_components(
    values: Array, fitted_on: Array | None = None, count: int = 2
) -> tuple[Array, Array]:
    """Project values ``(n, D)`` on their directions of largest variance.

    ``fitted_on (n,)`` masks the rows that mean and directions are computed from. Values of fewer
    dimensions, or fewer rows, leave zeros.

    Returns:
        Coordinates ``(n, count)``, and the share of the variance that each direction explains.
    """
    chosen = values if fitted_on is None else values[fitted_on]
    used = min(count, *chosen.shape)
    points, shares = np.zeros((len(values), count)), np.zeros(count)
    if np.ptp(chosen, 0).max() > 0:
        # The exact solver, whose signs are fixed: figures repeat.
        pca = PCA(used, svd_solver="full").fit(chosen)
        points[:, :used] = pca.transform(values)
        shares[:used] = pca.explained_variance_ratio_
    return points, shares


def _task_colours(
    tasks: Array, period: float | None, names: Sequence[str]
) -> tuple[Array, str, dict[str, Any]]:
    """Return colours ``(n,)`` or ``(n, 3)``, what they stand for, and how to map the former."""
    if period is not None:
        around = {"cmap": "hsv", "norm": Normalize(0, period)}
        return tasks[:, 0].astype(float) % period, f"task, modulo {period:g}", around
    varying = np.flatnonzero(np.ptp(tasks, 0) > 0).tolist()
    if len(names) != tasks.shape[1]:
        names = [f"entry {place + 1}" for place in range(tasks.shape[1])]
    if len(varying) <= 1:
        position = varying[0] if varying else 0
        values = tasks[:, position].astype(float)
        norm = Normalize(*_range(values))
        return values, f"task, {names[position]}", {"cmap": "turbo", "norm": norm}
    values = tasks[:, varying].astype(float)
    legend = ", ".join(names[entry] for entry in varying) + " as red, green, blue"
    if len(varying) > 3:
        values, _ = principal_components(values, count=3)
        legend = "main directions as red, green, blue"
    elif len(varying) == 2:  # blue where the first is low: no mixture of the two is white or black
        values = np.column_stack([values, -values[:, 0]])
    low, high = values.min(0), values.max(0)
    shades = (values - low) / np.where(high > low, high - low, 1)
    return 0.05 + 0.8 * shades, legend, {}


def _norm(bounded: bool, *values: Array) -> Normalize:
    if bounded:
        return Normalize(0, 1)
    reach = max(float(np.abs(value).max()) for value in values) or 1.0
    return Normalize(-reach, reach)


def _range(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _heatmap(
    axis: Axes, values: Array, bounded: bool, norm: Normalize, labels: Sequence[str]
) -> AxesImage | None:
    """Draw ``values (T, n)`` with time to the right; a single one as a line, without an image."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if values.shape[1] == 1:
        axis.plot(values[:, 0])
        low, high = float(norm.vmin or 0), float(norm.vmax or 1)
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        return None
    colours = _PROBABILITIES if bounded else _VALUES
    image = axis.imshow(values.T, aspect="auto", cmap=colours, norm=norm, interpolation="nearest")
    if len(labels) == values.shape[1]:
        axis.set_yticks(np.arange(len(labels)), labels)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return image


def _colour_bar(figure: Figure, image: AxesImage | None, axes: list[Axes], label: str) -> None:
    if image is not None:
        figure.colorbar(image, ax=axes, label=label, fraction=0.05, pad=0.02)
