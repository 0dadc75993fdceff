"""Results of trials: strict JSON, with null for what is not defined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from wsrl.studies.benchmark.results import RESULT, Result, Trial, read_result, write_result

TRIAL = Trial("zoo/a", "prediction", "zoo", encoder="A", target="task", mode="frozen")


def refuse(word: str) -> None:
    raise ValueError(word)


def result() -> Result:
    metrics = {"validation/r2": math.nan, "validation/mae": 0.5}
    curves = {"train/loss": ([1, 2], [0.5, math.inf])}
    return Result(TRIAL, metrics=metrics, curves=curves)


def test_what_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    write_result(tmp_path, result())
    content = json.loads((tmp_path / RESULT).read_text(), parse_constant=refuse)
    assert content["metrics"] == {"validation/r2": None, "validation/mae": 0.5}
    found = read_result(tmp_path / RESULT)
    assert found.metrics == pytest.approx(result().metrics, nan_ok=True)
    steps, values = found.curves["train/loss"]
    assert steps == [1, 2]
    assert values == pytest.approx([0.5, math.nan], nan_ok=True)


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    write_result(tmp_path, result())
    path = tmp_path / RESULT
    content = json.loads(path.read_text())
    content["metrics"]["validation/r2"] = math.nan  # as they were written
    path.write_text(json.dumps(content))
    assert read_result(path).metrics == pytest.approx(result().metrics, nan_ok=True)


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text('{"cell": 3}')
    with pytest.raises(ValueError, match=r"cell\.json is no result of a benchmark"):
        read_result(tmp_path / RESULT)
