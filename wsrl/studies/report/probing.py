"""What probing encoders ask, and what RNNs answer: drawn from the checkpoints that are left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import plotly.graph_objects as go
import torch
from torch import Tensor

from wsrl.encoders import ProbingEncoder, list_encoders
from wsrl.failures import describe
from wsrl.rnn import RNNWeights
from wsrl.studies.report.charts import Chart, figure
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.rnns import EMBEDDINGS, open_source
from wsrl.studies.report.words import chart_text
from wsrl.studies.training.runs import Run
from wsrl.tasks.pretrained import load_pretrained_encoder
from wsrl.zoos import Zoo

_SHOWN = 3
"""RNNs that are asked: the best, the middling and the worst."""

_FEW = 2
"""Entries of a step up to which values are lines and not colours."""


def probing_charts(benchmark: Benchmark) -> Iterator[Chart | str]:
    """Yield what the probing encoders ask, one run of each; nothing where checkpoints are gone.

    A checkpoint or a zoo that cannot be read is said, and does not stop the report.
    """
    list_encoders()  # loads other packages' encoders, so that they are found by name
    for zoo in benchmark.zoos:
        for label, path in benchmark.first_runs(zoo, EMBEDDINGS):
            checkpoint = Run(path.parent).checkpoint("best")
            try:
                source = open_source(path) if checkpoint.is_file() else None
                if source is None:
                    continue
                index = benchmark.entrants.index(label)
                for title, made in _dialogues(checkpoint, source):
                    yield Chart(f"{zoo}: {label}, {title}", made, encoder=index)
            except Exception as error:  # as of one's own encoder that has changed since
                yield f"{zoo}: {label}: not drawn: {describe(error).reason}"


def _dialogues(checkpoint: Path, zoo: Zoo) -> Iterator[tuple[str, go.Figure]]:
    encoder = load_pretrained_encoder(str(checkpoint), zoo.spec).eval()
    if not isinstance(encoder, ProbingEncoder):
        return
    rows = _chosen(zoo)
    with torch.no_grad():
        asked, answered = encoder.probes(RNNWeights(zoo.read("weights", rows), zoo.spec))
    asked, answered = asked[:, 0], answered[:, 0]  # the first of those that run in parallel
    problem = zoo.problem
    if problem.output_kind == "categorical":
        answered = answered.softmax(-1)
    images = problem.as_images(asked)
    columns = [zoo.read(name, rows).tolist() for name in ("run", "step", "performance")]
    for index, (run, step, performance) in enumerate(zip(*columns, strict=True)):
        who = f"run {run}, step {step}, performance {performance:.2f}"
        if images is None:
            yield f"{who}: asked", _drawn(asked[index], "input", problem.input_names())
        else:
            picture = _heatmap(images[index].mT).update_yaxes(scaleanchor="x", autorange="reversed")
            yield f"{who}: asked", picture
        yield f"{who}: answered", _drawn(answered[index], "output", problem.output_names())


def _chosen(zoo: Zoo) -> Tensor:
    order = zoo.read("performance").nan_to_num(-1.0).argsort(descending=True, stable=True)
    return order[torch.linspace(0, len(order) - 1, min(_SHOWN, len(order))).long()]


def _drawn(values: Tensor, kind: str, names: Sequence[str]) -> go.Figure:
    """Draw ``(T, n)``: as lines where ``n`` is small, else as colours."""
    if values.shape[1] > _FEW:
        labels = [chart_text(name) for name in names or map(str, range(1, values.shape[1] + 1))]
        made = _heatmap(values).update_yaxes(title_text=kind, autorange="reversed")
        places = list(range(len(labels)))
        return made.update_yaxes(tickvals=places, ticktext=labels).update_xaxes(title_text="step")
    lines = [
        go.Scatter(y=line.tolist(), mode="lines", name=f"{kind} {place + 1}", meta={"line": place})
        for place, line in enumerate(values.T)
    ]
    return figure("step", kind, lines)


def _heatmap(values: Tensor) -> go.Figure:
    """Draw ``(T, n)`` with time to the right; on a scale from 0 to 1 where values are within."""
    low, high = float(values.min()), float(values.max())
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    shown = values.mT.float().numpy().round(4)
    trace = go.Heatmap(z=shown, zmin=low, zmax=high, hovertemplate="step %{x}: %{z}<extra></extra>")
    return figure("", "", [trace])
