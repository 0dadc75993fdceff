"""Figures: arrays in, a matplotlib ``Figure`` out.

Figures are made without pyplot, so nothing is kept open and no display is needed; save one with
``figure.savefig("name.png")``.
"""

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
    heights = {"height_ratios": (3, 3, 2)}
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw=heights)
    norm = _norm(categorical, original, emulated)
    for axis, values, name in ((top, original, "original RNN"), (middle, emulated, "emulator")):
        image = _heatmap(axis, values, categorical, norm, labels)
        axis.set_ylabel("output")
        axis.set_title(name, loc="left")
    _colour_bar(figure, image, [top, middle], "probability" if categorical else "output")
    distance, name = np.square(original - emulated).mean(1), "mean squared error"
    if categorical:
        distance, name = 0.5 * np.abs(original - emulated).sum(1), "total variation"
    bottom.set_ylim(0, 1.02 if categorical else float(distance.max()) * 1.1 or 1.0)
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
    bounded = bool(inputs.min() >= 0 and inputs.max() <= 1), categorical
    norms = _norm(bounded[0], inputs), _norm(bounded[1], outputs)
    for column, (asked, answered) in enumerate(axes.T):
        if images is None:
            above = _heatmap(asked, inputs[column], bounded[0], norms[0], input_names)
        else:
            above = asked.imshow(images[column], cmap="gray", norm=norms[0])
            asked.set(xticks=[], yticks=[])
        below = _heatmap(answered, outputs[column], bounded[1], norms[1], output_names)
        asked.set_title(f"{titles[column]}\nprobing inputs", fontsize=10)
        answered.set_title("answers", fontsize=10)
        answered.set_xlabel("time step")
    axes[0, 0].set_ylabel("input" if images is None else "")
    axes[1, 0].set_ylabel("output")
    _colour_bar(figure, above, list(axes[0]), "input")
    _colour_bar(figure, below, list(axes[1]), "probability" if categorical else "output")
    return figure


def embedding_map(
    embeddings: Array,
    performance: Array,
    tasks: Array,
    splits: Sequence[str],
    task_period: float | None = None,
    task_entries: Sequence[str] = (),
) -> Figure:
    """Draw embeddings ``(n, D)`` on their first two principal components, coloured in two ways.

    By performance, ``(n,)``, if any is known (not NaN), and by ``tasks (n, K)``: one varying entry
    is a colour scale, round a circle where it has a ``task_period``; the three main directions of
    several are shades of red, green and blue, so that tasks alike have colours alike. Each of the
    splits, ``n`` names, has its own marker; the components are those of the first.
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
    classes = np.arange(int(max(target.max(), prediction.max())) + 1)
    figure, axes = _parts(target.shape[1])
    for part, axis in enumerate(axes):
        pair = target[:, part], prediction[:, part]
        matrix = confusion_matrix(*pair, labels=classes, normalize="true")
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
    """Project values ``(n, D)`` on the directions of largest variance of those ``fitted_on (n,)``.

    Returned are coordinates ``(n, count)``, and the share of the variance that each direction
    explains. Values of fewer dimensions, or fewer rows, leave zeros.
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
    if len(varying) <= 1:
        position = varying[0] if varying else 0
        values = tasks[:, position].astype(float)
        name = names[position] if len(names) == tasks.shape[1] else f"entry {position + 1}"
        norm = Normalize(*_range(values))
        return values, f"task, {name}", {"cmap": "turbo", "norm": norm}
    values, _ = principal_components(tasks[:, varying].astype(float), count=3)
    low, high = values.min(0), values.max(0)
    shades = (values - low) / np.where(high > low, high - low, 1)
    return 0.05 + 0.8 * shades, "main directions as red, green, blue", {}


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
