"""Maps of embeddings, in which a point says which RNN it is."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from wsrl.studies.report.charts import Chart, figure, points
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.words import chart_text, name_of, number
from wsrl.zoos import Zoo, open_zoo
from wsrl.zoos.tensors import read_metadata, read_tensors

EMBEDDINGS = "embeddings.safetensors"
"""What a run leaves behind of every RNN."""

_NEEDED = {"embedding": 2, "task": None, "performance": 1, "step": 1}
_DIMENSIONS = {**_NEEDED, "split": 1, "run": 1}
"""Of columns that are drawn; ``None`` where they differ."""

_MOST = 300  # RNNs that are drawn: more would hide each other
_ENTRIES = 3  # of a task that colour a map
_SEED = 0
_SYMBOLS = ("circle", "diamond", "square", "cross")
_FEWEST = 5  # RNNs of which a map is drawn
_SAME = 1e-5  # embeddings have norm 1; rounding differs between batches

Columns = dict[str, NDArray[Any]]


def maps(benchmark: Benchmark) -> Iterator[tuple[str, list[str], list[Chart | str]]]:
    """Yield for each zoo the maps of one run of each encoder.

    Yields:
        The zoo, the names of what may colour its maps, and the maps; or why there is none.
    """
    for zoo in benchmark.zoos:
        charts: list[Chart | str] = []
        labels: dict[str, None] = {}
        for label, path in benchmark.first_runs(zoo, EMBEDDINGS):
            columns, splits = _read(path)
            if reason := _unfit(columns["embedding"]):
                charts.append(f"{label}: no map, since {reason}.")
                continue
            made = _map(columns, splits, _zoo_of(path))
            labels |= dict.fromkeys(made.layout.meta["colours"])
            charts.append(Chart(f"{zoo}: {label}", made, benchmark.index(label), zoo))
        if charts:
            yield zoo, list(labels), charts


def _zoo_of(path: Path) -> Zoo | None:
    """Open the zoo whose RNNs a file holds, if it is there and whole."""
    folder = Path(str(read_metadata(path).get("zoo", "")))
    try:
        return open_zoo(folder) if folder.is_dir() else None
    except (OSError, ValueError):  # tasks are shown by their numbers
        return None


def _unfit(embedding: NDArray[Any]) -> str:
    """Say why embeddings have no map; empty where they have one."""
    if len(embedding) < _FEWEST:
        return "there are too few RNNs"
    if not np.isfinite(embedding).all():
        return "embeddings are not finite"
    if embedding.shape[1] < 2:
        return "embeddings have one entry only"
    return "all embeddings are the same" if np.ptp(embedding, 0).max() < _SAME else ""


def _map(columns: Columns, splits: list[str], zoo: Zoo | None) -> go.Figure:
    """Draw embeddings by principal components, with t-SNE and other colours to choose."""
    embedding = columns["embedding"]
    pca = PCA(2, svd_solver="full").fit(embedding)
    tsne = TSNE(perplexity=min(30, (len(embedding) - 1) / 3), init="pca", random_state=_SEED)
    positions = {"PCA": pca.transform(embedding), "t-SNE": tsne.fit_transform(embedding)}
    first, second = pca.explained_variance_ratio_
    split = columns.get("split", np.zeros(len(embedding)))
    trace = points(None, None, _told(columns, splits, zoo))
    trace.update(marker={"symbol": [_SYMBOLS[int(place) % 4] for place in split]})
    colours, cyclic = _colours(columns, zoo)
    meta = {
        "positions": {k: np.round(v, 4).T.tolist() for k, v in positions.items()},
        "shares": f"PCA shows {first:.0%} and {second:.0%} of the variance",
        "colours": {
            name: [value if np.isfinite(value) else None for value in column.round(4).tolist()]
            for name, column in colours.items()
        },
        "cyclic": cyclic,
    }
    made = figure("", "", [trace], meta=meta)
    return made.update_xaxes(visible=False).update_yaxes(visible=False)


def _colours(columns: Columns, zoo: Zoo | None) -> tuple[Columns, list[str]]:
    """Return what may colour a map by name, and which of these go round a circle."""
    tasks = columns["task"].reshape(len(columns["task"]), -1)
    names = zoo.problem.task_entries() if zoo is not None else ()
    if len(names) != tasks.shape[1]:
        several = tasks.shape[1] > 1
        names = tuple(f"task, entry {i + 1}" if several else "task" for i in range(tasks.shape[1]))
    varying = [i for i in range(tasks.shape[1]) if len(np.unique(tasks[:, i])) > 1]
    found = {chart_text(names[i]): tasks[:, i] for i in varying[:_ENTRIES]}
    period = zoo.problem.task_period if zoo is not None else None
    cyclic = list(found) if period is not None else []
    return found | {"performance": columns["performance"], "step": columns["step"]}, cyclic


def _told(columns: Columns, splits: list[str], zoo: Zoo | None) -> list[str]:
    """Say which RNN a point is."""
    told = []
    for row in range(len(columns["performance"])):
        known = {name: column[row] for name, column in columns.items()}
        task = known["task"].reshape(-1).tolist()
        name = zoo.problem.task_name(task) if zoo else ", ".join(f"{value:g}" for value in task)
        lines = [f"task {name}"]
        lines += [f"{key} {int(known[key])}" for key in ("run", "step") if key in known]
        lines.append(f"performance {number(float(known['performance']))}")
        if "split" in known and int(known["split"]) < len(splits):
            lines.append(name_of(splits[int(known["split"])]))
        told.append("<br>".join(map(chart_text, lines)))
    return told


def _read(path: Path) -> tuple[Columns, list[str]]:
    """Return the columns of a file of RNNs, of so many at most, the same ones always; the splits.

    Raises:
        ValueError: naming the file, where it does not hold real numbers, a row for each RNN.
    """
    tensors: dict[str, Tensor] = read_tensors(path)
    splits = read_metadata(path).get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise ValueError(f"{path}: splits are {reprlib.repr(splits)}: expected their names")
    if lacking := [name for name in _NEEDED if name not in tensors]:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; run the trial again")
    counts = {len(tensor) if tensor.ndim else None for tensor in tensors.values()}
    for name, tensor in tensors.items():
        fits = tensor.ndim == (_DIMENSIONS.get(name) or tensor.ndim)
        if tensor.is_complex() or not fits or len(counts) > 1:
            raise ValueError(
                f"{path}: column {reprlib.repr(name)} is {tuple(tensor.shape)} of {tensor.dtype}: "
                "expected real numbers, a row for each RNN; run the trial again"
            )
    count = len(tensors["embedding"])
    rows = np.arange(count)
    if count > _MOST:
        rows = np.sort(np.random.default_rng(_SEED).choice(count, _MOST, replace=False))
    chosen = torch.from_numpy(rows)
    return {name: t[chosen].double().numpy() for name, t in tensors.items()}, splits
