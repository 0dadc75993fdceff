"""Drawings from what a run leaves of every RNN, where there is little to draw."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wsrl.cli import main
from wsrl.studies.benchmark.results import TRIALS
from wsrl.studies.report.layout import Figure
from wsrl.studies.report.maps import embeddings, scores
from wsrl.studies.report.probing import probing_sequences
from wsrl.studies.report.reading import Benchmark
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


def texts(folder: Path) -> list[str]:
    parts = next(iter(embeddings(Benchmark.read(folder)))).parts
    return [part for part in parts if isinstance(part, str)]


def test_each_label_has_a_map_of_either_kind(benchmark_path: Path) -> None:
    folded = list(embeddings(Benchmark.read(benchmark_path)))
    assert [part.title for part in folded] == [
        "languages: InteractiveProbing",
        "languages: LayerwiseStatistics",
    ]
    columns = read_tensors(benchmark_path / TRIALS / RUN / "embeddings.safetensors")
    entries = sum(len(entry.unique()) > 1 for entry in columns["task"].T)
    assert len(folded[0].parts) == 2 * (entries + 2)
    for figure in folded[0].parts:
        assert isinstance(figure, Figure)
        assert len(re.findall("h0", figure.svg)) == len(columns["row"])


def test_embeddings_that_are_all_the_same_have_no_map(copy: Path) -> None:
    def same(columns: dict[str, Tensor]) -> None:
        columns["embedding"] = columns["embedding"][:1].repeat(len(columns["row"]), 1)

    assert texts(copy) == []
    change(copy, "embeddings.safetensors", same)
    assert texts(copy) == ["No map: all embeddings are the same."]


def test_embeddings_of_one_entry_have_no_map(copy: Path) -> None:
    def narrow(columns: dict[str, Tensor]) -> None:
        columns["embedding"] = columns["embedding"][:, :1].contiguous()

    change(copy, "embeddings.safetensors", narrow)
    assert texts(copy) == ["No map: embeddings have one entry only."]


def test_embeddings_that_diverged_have_no_map(copy: Path) -> None:
    change(copy, "embeddings.safetensors", lambda columns: columns["embedding"][3].fill_(torch.nan))
    assert "not finite" in texts(copy)[0]


def test_scores_are_of_every_rnn_that_was_scored(benchmark_path: Path) -> None:
    (folded,) = scores(Benchmark.read(benchmark_path))
    figures = {part.caption: part.svg for part in folded.parts if isinstance(part, Figure)}
    columns = read_tensors(benchmark_path / TRIALS / RUN / "test.safetensors")
    drawn = {name: len(re.findall("h0", svg)) for name, svg in figures.items()}
    assert drawn["InteractiveProbing: emulation"] == len(columns["row"])
    scored = int((columns["clone_score"].isfinite() & columns["original_score"].isfinite()).sum())
    assert drawn["InteractiveProbing: clones"] == scored > 0


def test_a_file_without_a_column_is_an_error_that_names_it(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, "test.safetensors", lambda columns: columns.pop("performance"))
    assert main(["report", str(copy)]) == 1
    assert "test.safetensors has no column performance" in capsys.readouterr().err


@pytest.mark.parametrize(
    "how",
    [
        lambda columns: columns.update(performance=columns["performance"][:, None]),
        lambda columns: columns.update(performance=columns["performance"][1:].clone()),
        lambda columns: columns.update(performance=columns["performance"] + 0j),
        lambda columns: columns.update(step=columns["step"][0].clone()),
    ],
)
def test_columns_of_other_kinds_are_an_error_that_names_the_file(
    how: Change, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, "test.safetensors", how)
    assert main(["report", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "test.safetensors: column" in line
    assert "expected real numbers, a row for each RNN" in line


def test_splits_without_names_are_an_error_that_names_the_file(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / TRIALS / RUN / "test.safetensors"
    tensors = {name: tensor.clone() for name, tensor in read_tensors(path).items()}
    write_tensors(path, tensors, {"splits": [3]})
    assert main(["report", str(copy)]) == 1
    assert "test.safetensors: splits are [3]: expected their names" in capsys.readouterr().err


def test_probing_is_drawn_of_probing_encoders_only(benchmark_path: Path) -> None:
    folded = list(probing_sequences(Benchmark.read(benchmark_path)))
    assert [part.title for part in folded] == ["languages: InteractiveProbing"]
    assert len(folded[0].parts) == 6  # three RNNs, each asked and answering


def test_a_checkpoint_that_is_gone_or_damaged_does_not_stop_a_report(copy: Path) -> None:
    checkpoint = copy / TRIALS / RUN / "checkpoints" / "best.ckpt"
    checkpoint.write_bytes(b"no checkpoint")
    (folded,) = probing_sequences(Benchmark.read(copy))
    assert str(folded.parts[0]).startswith("Not drawn: ")
    checkpoint.unlink()
    assert list(probing_sequences(Benchmark.read(copy))) == []
