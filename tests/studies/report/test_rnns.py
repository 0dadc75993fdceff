"""Drawings from what a run leaves of every RNN, where there is little to draw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from wsrl.studies.benchmark.results import TRIALS
from wsrl.studies.report.charts import Chart
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.rnns import maps
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

FILE = f"{TRIALS}/languages/InteractiveProbing/seed0/emulation/embeddings.safetensors"
Columns = dict[str, Any]


def drawn(folder: Path) -> list[Chart | str]:
    """Return the maps of the languages, one of each encoder."""
    ((zoo, _, charts),) = maps(Benchmark.read(folder))
    assert zoo == "languages"
    return charts


def changed(folder: Path, out: Path, **changes: Any) -> Path:
    """Copy a benchmark, with other columns of a run; ``None`` for none, ``splits`` for metadata."""
    path = shutil.copytree(folder, out) / FILE
    columns, metadata = read_tensors(path), {**read_metadata(path)}
    metadata["splits"] = changes.pop("splits", metadata["splits"])
    made = {name: how and how(columns[name]) for name, how in changes.items()}
    columns = {k: v.clone() for k, v in (columns | made).items() if v is not None}
    path.unlink()
    write_tensors(path, columns, metadata)
    return out


def test_a_map_says_of_every_point_which_rnn_it_is(benchmark_path: Path) -> None:
    first, second = drawn(benchmark_path)
    assert isinstance(first, Chart)
    assert isinstance(second, Chart)
    assert (first.encoder, second.encoder) == (0, 1)
    columns = read_tensors(benchmark_path / FILE)
    (trace,) = first.figure.data
    said = [
        f"run {run}<br>step {step}"
        for run, step in zip(columns["run"].tolist(), columns["step"].tolist(), strict=True)
    ]
    assert all(part in text for part, text in zip(said, trace.customdata, strict=True))
    assert all("task a^n b^" in text and "performance" in text for text in trace.customdata)
    meta = first.figure.layout.meta
    assert set(meta["positions"]) == {"PCA", "t-SNE"}
    assert {"performance", "step"} < set(meta["colours"])
    for values in (*meta["colours"].values(), *meta["positions"]["PCA"]):
        assert len(values) == len(said)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda e: e[:1].repeat(len(e), 1), "all embeddings are the same"),
        (lambda e: e[:, :1].contiguous(), "embeddings have one entry only"),
        (lambda e: e.where(e != e[3], torch.nan), "embeddings are not finite"),
    ],
)
def test_embeddings_without_a_map_say_why(
    how: Callable[[Tensor], Tensor], reason: str, benchmark_path: Path, tmp_path: Path
) -> None:
    first, second = drawn(changed(benchmark_path, tmp_path / "copy", embedding=how))
    assert first == f"InteractiveProbing: no map, since {reason}."
    assert isinstance(second, Chart)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"performance": None}, "has no column performance"),
        ({"performance": lambda values: values[:, None]}, "expected real numbers"),
        ({"performance": lambda values: values[1:]}, "a row for each RNN"),
        ({"performance": lambda values: values + 0j}, "expected real numbers"),
        ({"step": lambda values: values[0]}, "a row for each RNN"),
        ({"splits": [3]}, r"splits are \[3\]: expected their names"),
    ],
)
def test_columns_of_other_kinds_are_an_error_that_names_the_file(
    changes: Columns, said: str, benchmark_path: Path, tmp_path: Path
) -> None:
    folder = changed(benchmark_path, tmp_path / "copy", **changes)
    with pytest.raises(ValueError, match=f"embeddings.safetensors.*{said}"):
        drawn(folder)
