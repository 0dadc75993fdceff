"""Whatever files say, pages and tables show it as text: no markup, no formula, no control."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape

from tests.studies.report.conftest import write_record
from wsrl.cli import main
from wsrl.studies.benchmark.results import TRIALS, Ablation, Cost, Result, Trial, write_result
from wsrl.studies.report.words import chart_text, markdown_text
from wsrl.terminal import printable
from wsrl.zoos.tensors import write_tensors

MARKUP = "<i title=\"'&>|`*[x](y)\x1b[2J\u202e\n"


def hostile(field: str) -> str:
    """Return text for a field of a file, found again by the field's name."""
    return f"={field} {MARKUP}"


SHOWN = {
    *("zoo", "encoder", "target", "mode", "split", "metric", "of", "option", "value", "error"),
    *("package", "version", "fact", "measured", "spec"),
}
"""The fields that are filled below; all are on the page."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark whose every text is hostile, with its report."""
    folder = tmp_path_factory.mktemp("hostile") / "benchmark"
    zoo, encoder = hostile("zoo"), hostile("encoder")
    cells = [
        Trial("name <i|`*[x]&/seed0/emulation", "emulation", zoo, encoder),
        Trial("b/seed0/p", "prediction", zoo, encoder, 0, hostile("target"), hostile("mode")),
        Trial("c", "properties", encoder=encoder),
        Trial(
            "d/seed0/emulation",
            "emulation",
            zoo,
            "variant",
            ablation=Ablation(encoder, hostile("option"), hostile("value")),
        ),
        Trial("e", "emulation", zoo, hostile("of")),
    ]
    judged = {f"{hostile('split')}/total_variation": 0.5, f"validation/{hostile('metric')}": 0.5}
    of_specs = {"ood": {hostile("spec"): {"total_variation": 0.5}}}
    curves = {f"{hostile('split')}/total_variation": ([1, 2], [0.5, 0.25])}
    cost = Cost(5, 3, 2, 0.5, 4.0)
    made_with = {hostile("package"): hostile("version")}
    for cell in cells:
        error = hostile("error") if cell.name == "e" else None
        ended = error, (hostile("command"),), judged, cost, curves, made_with
        result = Result(cell, *ended, metrics_by_spec=of_specs)
        (folder / TRIALS / cell.name).mkdir(parents=True)
        write_result(folder / TRIALS / cell.name, result)
    facts = {hostile("fact"): {"a": hostile("measured")}, "list": [hostile("measured")]}
    (folder / TRIALS / "c" / "properties.json").write_text(json.dumps(facts))
    columns = {name: torch.rand(6) for name in ("performance", "task", "step")}
    columns |= {"embedding": torch.rand(6, 3), "split": torch.zeros(6, dtype=torch.long)}
    path = folder / TRIALS / cells[0].name / "embeddings.safetensors"
    write_tensors(path, columns, {"splits": [hostile("drawn")]})
    settings = {"compare_with": hostile("of")}
    assert main(["report", str(write_record(folder, cells, settings))]) == 0
    return folder


@pytest.mark.parametrize("field", sorted(SHOWN))
def test_a_page_shows_what_files_say_as_text(field: str, report: Path) -> None:
    page = (report / "report.html").read_text()
    assert f"{field} <i" not in page
    assert escape(printable(hostile(field))) in page.replace("<wbr>", "")


@pytest.mark.parametrize("field", ["encoder", "drawn"])
def test_charts_show_what_files_say_as_text(field: str, report: Path) -> None:
    """Plotly reads some HTML in its texts, and a browser the end of a script."""
    page = (report / "report.html").read_text()
    start = page.index(">", page.index('id="figures"')) + 1
    content = page[start : page.index("</script>", start)]
    assert not set("<>&'") & set(content)
    texts = {t for made in json.loads(content) for t in strings([made["data"], made["layout"]])}
    assert any(chart_text(hostile(field)) in text for text in texts)
    assert not any("<i" in text for text in texts)


def strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | dict):
        for each in content.values() if isinstance(content, dict) else content:
            yield from strings(each)


@pytest.mark.parametrize("field", sorted(SHOWN))
def test_markdown_shows_what_files_say_as_text(field: str, report: Path) -> None:
    text = (report / "report.md").read_text()
    assert f"{field} <i" not in text
    assert markdown_text(hostile(field)) in text


def test_reports_hold_nothing_that_is_not_seen(report: Path) -> None:
    for name in (
        "report.html",
        "report.md",
        "results.csv",
        "by_spec.csv",
        "runs.csv",
        "summary.csv",
    ):
        kinds = {unicodedata.category(c) for c in (report / name).read_text() if c not in "\n"}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}, name


def test_spreadsheets_compute_nothing(report: Path) -> None:
    marked = 0
    for path in report.glob("*.csv"):
        with path.open(newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                marked += cell.startswith("'=")
                if cell.startswith(("=", "+", "-", "@")):
                    float(cell)  # a number stays one
    assert marked > len(SHOWN)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A benchmark of one trial, to be changed."""
    cell = Trial("p/seed0/a", "prediction", "z", "a", 0, "task", "frozen", Ablation("a", "b", 1))
    folder = tmp_path / "small"
    (folder / TRIALS / cell.name).mkdir(parents=True)
    curves = {"ood/r2": ([1], [0.5])}
    cost = Cost(1, 1, 1, 1.0, 1.0)
    result = Result(cell, None, ("x",), {"ood/r2": 0.5}, cost, curves, {"a": "b"})
    write_result(folder / TRIALS / cell.name, result)
    return write_record(folder, [cell], {"zoos": {"z": {"target": "task"}}})


RESULT = f"{TRIALS}/p/seed0/a/cell.json"
DEEP = json.loads("[" * 200 + "]" * 200)
WRONG_CELLS: list[tuple[dict[str, Any], str]] = [
    ({"seed": "0"}, "seed must be a whole number, not '0'"),
    ({"name": "../../outside"}, "name: expected a folder under cells/, not '../../outside'"),
    ({"kind": "other"}, "kind must be 'zoo', "),
    ({"ablation": {"of": 1, "option": "b", "value": 1}}, "ablation.of must be text, not 1"),
]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    *((RESULT, {"cell": cell}, message) for cell, message in WRONG_CELLS),
    *(("benchmark.json", {"cells": [cell]}, message) for cell, message in WRONG_CELLS),
    (RESULT, {"cost": {"parameters": "x"}}, "cost.parameters must be a whole number, not 'x'"),
    (RESULT, {"curves": {"ood/r2": [[1], ["x"]]}}, "'ood/r2'[1][0] must be a number, not 'x'"),
    (RESULT, {"commands": [7]}, "commands[0] must be text, not 7"),
    ("benchmark.json", {"settings": None}, "settings must be"),
    ("benchmark.json", {"settings": {"zoos": {"z": []}}}, "zoos must be"),
    ("benchmark.json", {"settings": {"compare_with": ["a"]}}, "compare_with must be text"),
    ("benchmark.json", {"settings": {"deep": DEEP}}, "exceeded"),
]


@pytest.mark.parametrize(("file", "changes", "message"), WRONG)
def test_files_of_other_kinds_are_one_line_that_names_the_file(
    file: str,
    changes: dict[str, Any],
    message: str,
    small: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.loads((small / file).read_text())
    whole = content["cell"] if file == RESULT else content["cells"][0]
    if isinstance(changes.get("cell"), dict):
        changes = {"cell": whole | changes["cell"]}
    if "cells" in changes:
        changes = {"cells": [whole | changes["cells"][0]]}
    (small / file).write_text(json.dumps(content | changes))
    assert main(["report", str(small)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{small / file} " in line
    assert message in line
    assert not (small / "report.html").exists()


def test_what_is_not_defined_is_nan_and_not_left_out(small: Path) -> None:
    content = json.loads((small / RESULT).read_text())
    content["metrics"]["validation/r2"] = None
    (small / RESULT).write_text(json.dumps(content))
    assert main(["report", str(small)]) == 0  # which is whole but for that
    with (small / "results.csv").open(newline="") as file:
        values = {row["split"]: row["value"] for row in csv.DictReader(file)}
    assert values == {"ood": "0.5", "validation": "nan"}
