"""Drawings of single RNNs: how well each is emulated, and where its embedding lies."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from wsrl.analysis.svg import Cloud, colour_map, scatter
from wsrl.studies.benchmark.results import Trial
from wsrl.studies.report.layout import Figure, Folded, Part, name_of
from wsrl.studies.report.reading import Benchmark, distinct
from wsrl.studies.report.tables import EMULATION
from wsrl.zoos.tensors import read_metadata, read_tensors

TEST, EMBEDDINGS = "test.safetensors", "embeddings.safetensors"
"""What a run leaves behind of every RNN."""

_DIMENSIONS = {
    **dict.fromkeys(("split", "performance", "step", "clone_score", "original_score"), 1),
    **dict.fromkeys(EMULATION, 1),
    "embedding": 2,
}
"""Of columns that are drawn."""

_SCATTERED, _MAPPED = 400, 300  # RNNs that are drawn: more would hide each other
_ENTRIES = 3  # of a task that are drawn, one map each
_SEED = 0
_FEWEST = 5  # RNNs of which a map is drawn
_SAME = 1e-5  # embeddings have norm 1; rounding differs between batches


def scores(benchmark: Benchmark) -> Iterator[Folded]:
    """Yield for each zoo how well its RNNs are emulated and cloned, by one run each."""
    for zoo in benchmark.zoos:
        figures: list[Figure] = []
        for cell in first_runs(benchmark, zoo):
            path = benchmark.path(cell) / TEST
            if path.is_file():
                figures += _scores(path, cell.encoder)
        if figures:
            yield Folded(f"{zoo}: single RNNs, one run of each encoder", tuple(figures))


def embeddings(benchmark: Benchmark) -> Iterator[Folded]:
    """Yield maps of the embeddings of one run of each encoder."""
    for zoo in benchmark.zoos:
        circular = any(
            name.endswith("/angular_error")
            for cell in benchmark.cells
            if cell.zoo == zoo
            for name in benchmark.metrics(cell)
        )
        for cell in first_runs(benchmark, zoo):
            path = benchmark.path(cell) / EMBEDDINGS
            if path.is_file():
                yield Folded(f"{zoo}: {cell.encoder}", tuple(_maps(path, circular)))


def first_runs(benchmark: Benchmark, zoo: str) -> list[Trial]:
    """Return an emulation of each encoder that ended well: one with embeddings, if there is any."""
    cells = [
        c for c in benchmark.cells if c.zoo == zoo and c.kind == "emulation" and c.ablation is None
    ]
    found = []
    for encoder in distinct(cell.encoder for cell in cells):
        own = [c for c in cells if c.encoder == encoder and benchmark.state(c) == "done"]
        own.sort(key=lambda cell: not (benchmark.path(cell) / EMBEDDINGS).is_file())
        found += own[:1]
    return found


def _scores(path: Path, encoder: str) -> Iterator[Figure]:
    columns = _columns(path, _SCATTERED, ("split", "performance"))
    splits = read_metadata(path).get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise ValueError(f"{path}: splits are {reprlib.repr(splits)}: expected their names")
    chosen = [(name_of(split), columns["split"] == i) for i, split in enumerate(splits)]
    chosen = [(name, rows) for name, rows in chosen if rows.any()]
    loss = next((name for name in EMULATION if name in columns), None)
    if loss is not None:
        clouds = _clouds(chosen, columns["performance"], columns[loss])
        title = f"{encoder}: emulation"
        drawing = scatter(title, "performance of the RNN", name_of(loss), clouds)
        yield Figure(title, drawing)
    scored = {"clone_score", "original_score"} <= columns.keys()
    if scored and np.isfinite(columns["clone_score"]).any():
        clouds = _clouds(chosen, columns["original_score"], columns["clone_score"])
        title = f"{encoder}: clones"
        drawing = scatter(title, "score of the original", "score of the clone", clouds, False, True)
        yield Figure(title, drawing)


def _clouds(
    chosen: list[tuple[str, NDArray[Any]]], x: NDArray[Any], y: NDArray[Any]
) -> list[Cloud]:
    return [
        Cloud(name, style, x[rows].tolist(), y[rows].tolist())
        for style, (name, rows) in enumerate(chosen)
    ]


def _maps(path: Path, circular: bool) -> Iterator[Part]:
    """Yield maps by principal components and by t-SNE, each in the colours of all labels."""
    columns = _columns(path, _MAPPED, ("embedding", "task", "performance", "step"))
    embedding = columns["embedding"].astype(np.float64)
    if len(embedding) < _FEWEST or not np.isfinite(embedding).all():
        yield "No map: too few RNNs, or embeddings that are not finite."
        return
    if embedding.shape[1] < 2:
        yield "No map: embeddings have one entry only."
        return
    if np.ptp(embedding, 0).max() < _SAME:
        yield "No map: all embeddings are the same."
        return
    pca = PCA(2, svd_solver="full").fit(embedding)
    shares = ", ".join(f"{share:.0%}" for share in pca.explained_variance_ratio_)
    tsne = TSNE(perplexity=min(30, (len(embedding) - 1) / 3), init="pca", random_state=_SEED)
    layouts = {f"PCA ({shares})": pca.transform(embedding), "t-SNE": tsne.fit_transform(embedding)}
    for name, points in layouts.items():
        for label, values, cyclic in _labels(columns, circular):
            title = f"{name} by {label}"
            yield Figure(name, colour_map(title, points, values, label, cyclic), small=True)


def _labels(
    columns: dict[str, NDArray[Any]], circular: bool
) -> Iterator[tuple[str, NDArray[Any], bool]]:
    tasks = columns["task"].reshape(len(columns["task"]), -1)
    varying = [i for i in range(tasks.shape[1]) if len(np.unique(tasks[:, i])) > 1]
    for entry in varying[:_ENTRIES]:
        name = "task" if tasks.shape[1] == 1 else f"task, entry {entry + 1}"
        yield name, tasks[:, entry], circular and tasks.shape[1] == 1
    yield "performance", columns["performance"], False
    yield "step", columns["step"], False


def _columns(path: Path, most: int, needed: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the columns of a file of RNNs, of so many of them at most, the same ones always."""
    tensors: dict[str, Tensor] = read_tensors(path)
    if lacking := [name for name in needed if name not in tensors]:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; run the cell again")
    _check_columns(path, tensors)
    count = len(tensors[needed[0]])
    rows = np.arange(count)
    if count > most:
        rows = np.sort(np.random.default_rng(_SEED).choice(count, most, replace=False))
    chosen = torch.from_numpy(rows)
    return {name: tensor[chosen].double().numpy() for name, tensor in tensors.items()}


def _check_columns(path: Path, tensors: dict[str, Tensor]) -> None:
    """Check that a file holds real numbers, a row for each RNN."""
    if not tensors:
        raise ValueError(f"{path} is empty; run the cell again")
    counts = {len(tensor) if tensor.ndim else None for tensor in tensors.values()}
    for name, tensor in tensors.items():
        fits = tensor.ndim == _DIMENSIONS.get(name, tensor.ndim)
        if tensor.is_complex() or not fits or len(counts) > 1:
            raise ValueError(
                f"{path}: column {reprlib.repr(name)} is {tuple(tensor.shape)} of {tensor.dtype}: "
                "expected real numbers, a row for each RNN; run the cell again"
            )
