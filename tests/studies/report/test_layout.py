"""How numbers and facts are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from wsrl.analysis.comparison import Estimate
from wsrl.studies.benchmark.results import TRIALS
from wsrl.studies.report.layout import Table, head_of, interval, number
from wsrl.studies.report.properties import flat, properties
from wsrl.studies.report.reading import Benchmark


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (-3e-16, "0.000"),
        (0.00123, "0.0012"),
        (-0.5, "-0.500"),
        (42.123, "42.1"),
        (12345.6, "12,346"),
        (-1.2345e30, "-1.23e+30"),
        (float("nan"), "NaN"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_the_digits_that_may_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_intervals_are_written_where_there_are_some() -> None:
    assert interval(Estimate(0.5, 0.25, 0.75, 3)) == "0.500 (0.250 to 0.750)"
    assert interval(Estimate(0.5, None, None, 1), signed=True) == "+0.500"
    assert interval(Estimate(-0.5, None, None, 1), signed=True) == "-0.500"


def test_heads_say_which_way_is_better() -> None:
    assert head_of("r2", "ood") == "R² ↑ OOD"
    assert head_of("total_variation", "validation") == "total variation ↓ validation"
    assert head_of("original_score", "ood") == "original score OOD"


def test_facts_within_facts_are_words() -> None:
    facts = {"a": {"b": True, "c": {"d": 1500}}, "e": [1, 2], "f": None, "g": "text", "h": 0.25}
    assert flat(facts) == {
        "a: b": "yes",
        "a: c: d": "1,500",
        "e": "[1, 2]",
        "f": "null",
        "g": "text",
        "h": "0.250",
    }


def test_whatever_was_measured_is_shown(benchmark_path: Path, tmp_path: Path) -> None:
    parts = list(properties(Benchmark.read(benchmark_path)))
    tables = [part for part in parts if isinstance(part, Table)]
    assert [(table.columns[1], table.rows[0][1][0].text) for table in tables] == [
        ("permutation invariant", "yes"),
        ("8", "1,234"),
        ("permutation", "1e-07"),
        ("two <languages>", "no"),
    ]
    assert "same function: first, second." in parts

    copy = shutil.copytree(benchmark_path, tmp_path / "copy")
    path = copy / TRIALS / "properties" / "LayerwiseStatistics" / "properties.json"
    path.write_text(json.dumps({"name": "x", "same_function": ["third"], "new": 3}))
    tables = [part for part in properties(Benchmark.read(copy)) if isinstance(part, Table)]
    rows = {table.columns[1]: dict(table.rows) for table in tables}
    assert rows["same function"]["LayerwiseStatistics"][0].text == '["third"]'
    assert rows["new"]["LayerwiseStatistics"][0].text == "3"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"properties\.json is no table of properties"):
        list(properties(Benchmark.read(copy)))
