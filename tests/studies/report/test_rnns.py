"""Drawings from what a run leaves of every RNN, where there is little to draw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsrl.cli import main
from wsrl.studies.benchmark.results import TRIALS
from wsrl.studies.report.charts import Chart
from wsrl.studies.report.reading import Benchmark
from wsrl.studies.report.rnns import maps
from wsrl.zoos.tensors import read_metadata, read_tensors, write_tensors

RUN = "languages/InteractiveProbing/seed0/emulation"
Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture
def copy(benchmark_path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(benchmark_path, tmp_path / "copy")


def change(folder: Path, name: str, how: Change) -> None:
    path = folder / TRIALS / RUN / name
    tensors, metadata = read_tensors(path), read_metadata(path)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    how(tensors)
    path.unlink()
    write_tensors(path, tensors, metadata)


def drawn(folder: Path) -> list[Chart | str]:
    """Return the maps of the languages, one of each encoder."""
    ((zoo, _, charts),) = maps(Benchmark.read(folder))
    assert zoo == "languages"
    return charts


def test_a_map_says_of_every_point_which_rnn_it_is(benchmark_path: Path) -> None:
    first, second = drawn(benchmark_path)
    assert isinstance(first, Chart)
    assert isinstance(second, Chart)
    assert (first.encoder, second.encoder) == (0, 1)
    columns = read_tensors(benchmark_path / TRIALS / RUN / "embeddings.safetensors")
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
    how: Callable[[Tensor], Tensor], reason: str, copy: Path
) -> None:
    def spoil(columns: dict[str, Tensor]) -> None:
        columns["embedding"] = how(columns["embedding"])

    change(copy, "embeddings.safetensors", spoil)
    first, second = drawn(copy)
    assert first == f"InteractiveProbing: no map, since {reason}."
    assert isinstance(second, Chart)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda c: c.pop("performance"), "has no column performance"),
        (lambda c: c.update(performance=c["performance"][:, None]), "real numbers"),
        (lambda c: c.update(performance=c["performance"][1:].clone()), "a row for each RNN"),
        (lambda c: c.update(performance=c["performance"] + 0j), "real numbers"),
        (lambda c: c.update(step=c["step"][0].clone()), "a row for each RNN"),
    ],
)
def test_columns_of_other_kinds_are_an_error_that_names_the_file(
    how: Change, said: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, "embeddings.safetensors", how)
    assert main(["report", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "embeddings.safetensors" in line
    assert said in line


def test_splits_without_names_are_an_error_that_names_the_file(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / TRIALS / RUN / "embeddings.safetensors"
    tensors = {name: tensor.clone() for name, tensor in read_tensors(path).items()}
    write_tensors(path, tensors, {"splits": [3]})
    assert main(["report", str(copy)]) == 1
    assert "embeddings.safetensors: splits are [3]: expected their names" in capsys.readouterr().err
