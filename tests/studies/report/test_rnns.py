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
    """Copy a benchmark, with other columns or metadata of a run; ``None`` for none."""
    path = shutil.copytree(folder, out) / FILE
    columns, metadata = read_tensors(path), {**read_metadata(path)}
    metadata |= {name: changes.pop(name) for name in ("splits", "columns") if name in changes}
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
    pairs = zip(columns["run"].tolist(), columns["step"].tolist(), strict=True)
    for (run, step), text in zip(pairs, trace.customdata, strict=True):
        assert f"name run {run}, step {step}<br>task a^n b^" in text
        assert "performance" in text
    colours = first.figure.layout.meta["colours"]
    assert {"performance", "step"} < set(colours)
    assert {len(values) for values in (*colours.values(), trace.x)} == {len(columns["run"])}


@pytest.mark.parametrize(
    "how",
    [
        lambda e: e[:1].repeat(len(e), 1),
        lambda e: e[:, :1].contiguous(),
        lambda e: e.where(e != e[3], torch.nan),
    ],
)
def test_embeddings_without_a_map_say_so(
    how: Callable[[Tensor], Tensor], benchmark_path: Path, tmp_path: Path
) -> None:
    first, second = drawn(changed(benchmark_path, tmp_path / "copy", embedding=how))
    assert isinstance(first, str)
    assert first.startswith("InteractiveProbing: no map")
    assert isinstance(second, Chart)


@pytest.mark.parametrize(
    "changes",
    [
        {"performance": None},
        {"performance": lambda values: values[1:]},
        {"performance": lambda values: values + 0j},
        {"step": lambda values: values[0]},
        {"splits": 3},
        {"columns": [3]},
    ],
)
def test_columns_of_other_kinds_are_an_error_that_names_the_file(
    changes: Columns, benchmark_path: Path, tmp_path: Path
) -> None:
    folder = changed(benchmark_path, tmp_path / "copy", **changes)
    with pytest.raises(ValueError, match=r"embeddings.safetensors holds no embeddings"):
        drawn(folder)
