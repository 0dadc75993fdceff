"""What probing encoders ask, and what RNNs answer: drawn from the checkpoints that are left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsrl.analysis.svg import heatmap
from wsrl.encoders import ProbingEncoder, list_encoders
from wsrl.failures import describe
from wsrl.rnn import RNNWeights
from wsrl.studies.benchmark.results import Trial
from wsrl.studies.report.layout import Figure, Folded, Part
from wsrl.studies.report.maps import EMBEDDINGS, first_runs
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.training.runs import Run
from wsrl.tasks.pretrained import load_pretrained_encoder
from wsrl.zoos import Zoo, open_zoo
from wsrl.zoos.tensors import read_metadata

_SHOWN = 3
"""RNNs that are asked: the best, the middling and the worst."""


def probing_sequences(benchmark: Benchmark) -> Iterator[Part]:
    """Yield what the probing encoders ask, one run of each; nothing where checkpoints are gone.

    A checkpoint or a zoo that cannot be read is said, and does not stop the report.
    """
    list_encoders()  # loads other packages' encoders, so that they are found by name
    for zoo in benchmark.zoos:
        for cell in first_runs(benchmark, zoo):
            checkpoint = Run(benchmark.path(cell)).checkpoint("best")
            source = _zoo_of(benchmark, cell)
            if source is None or not checkpoint.is_file():
                continue
            title = f"{zoo}: {cell.encoder}"
            try:
                figures = tuple(_dialogues(checkpoint, open_zoo(source)))
            except Exception as error:  # as of one's own encoder that has changed since
                yield Folded(title, (f"Not drawn: {describe(error).reason}",))
                continue
            if figures:
                yield Folded(title, figures)


def _zoo_of(benchmark: Benchmark, cell: Trial) -> Path | None:
    """Return the folder of the RNNs that a run embedded, if it is there."""
    path = benchmark.path(cell) / EMBEDDINGS
    if not path.is_file():
        return None
    folder = Path(str(read_metadata(path).get("zoo", "")))
    return folder if folder.is_dir() else None


def _dialogues(checkpoint: Path, zoo: Zoo) -> Iterator[Figure]:
    encoder = load_pretrained_encoder(str(checkpoint), zoo.spec).eval()
    if not isinstance(encoder, ProbingEncoder):
        return
    rows = _chosen(zoo)
    with torch.no_grad():
        asked, answered = encoder.probes(RNNWeights(zoo.read("weights", rows), zoo.spec))
    asked, answered = asked[:, 0], answered[:, 0]  # the first of those that run in parallel
    if zoo.problem.output_kind == "categorical":
        answered = answered.softmax(-1)
    images = zoo.problem.as_images(asked)
    columns = [zoo.read(name, rows).tolist() for name in ("run", "step", "performance")]
    for index, (run, step, performance) in enumerate(zip(*columns, strict=True)):
        who = f"run {run}, step {step}, performance {performance:.2f}"
        if images is None:
            yield _heatmap(f"{who}: asked", asked[index], "input")
        else:
            picture = images[index].mT
            svg = heatmap(who, _numpy(picture), _bounds(picture), (), "", square=True)
            yield Figure(f"{who}: asked", svg)
        yield _heatmap(f"{who}: answered", answered[index], "output")


def _chosen(zoo: Zoo) -> Tensor:
    order = zoo.read("performance").nan_to_num(-1.0).argsort(descending=True, stable=True)
    return order[torch.linspace(0, len(order) - 1, min(_SHOWN, len(order))).long()]


def _heatmap(title: str, values: Tensor, kind: str) -> Figure:
    """Draw ``(T, n)``."""
    bounds = _bounds(values)
    caption = f"{title} ({bounds[0]:.2g} to {bounds[1]:.2g})"
    labels = [f"{kind} {index + 1}" for index in range(values.shape[1])]
    return Figure(caption, heatmap(caption, _numpy(values), bounds, labels, "time step"))


def _bounds(values: Tensor) -> tuple[float, float]:
    """Return 0 and 1 where values are within, as probabilities are; else their range."""
    low, high = float(values.min()), float(values.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _numpy(values: Tensor) -> Any:
    return values.detach().float().cpu().numpy()
