"""``wsrl report`` on a small benchmark."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter, defaultdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.studies.report.conftest import ENCODERS
from wsrl.cli import main
from wsrl.studies.benchmark.results import TRIALS

VOID = {"meta", "br", "wbr", "hr", "img", "input", "link"}
TABLES = ("results.csv", "by_spec.csv", "runs.csv", "summary.csv", "properties.csv")
FILES = ("report.html", "report.md", *TABLES)


class Page(HTMLParser):
    """Checks that tags are balanced; collects links, identifiers and text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(benchmark_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    assert main(["report", str(benchmark_path), "--out", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_of_every_run_is_in_the_tables_with_its_command_and_cost(
    benchmark_path: Path, report: Path
) -> None:
    runs = {row["folder"]: row for row in rows(report / "runs.csv")}
    planned = json.loads((benchmark_path / "benchmark.json").read_text())["cells"]
    assert {f"{TRIALS}/{cell['name']}" for cell in planned} == set(runs)
    found = defaultdict(dict)
    for row in rows(report / "results.csv"):
        found[row["folder"]][f"{row['split']}/{row['metric']}"] = float(row["value"])
        assert str(benchmark_path / row["folder"]) in runs[row["folder"]]["command"]
    trained = 0
    for path in benchmark_path.rglob("cell.json"):
        folder = str(path.parent.relative_to(benchmark_path))
        expected = json.loads((path.parent / "test.json").read_text())["metrics"]
        assert found.pop(folder, {}) == expected
        cost = json.loads(path.read_text())["cost"]
        trained += cost is not None
        for name, value in (cost or {}).items():
            assert float(runs[folder][name]) == value
    assert not found
    assert trained == 8  # two encoders and seeds, emulation and prediction


def test_the_numbers_of_each_cell_and_size_are_there_and_the_best_is_marked(
    benchmark_path: Path, report: Path
) -> None:
    found = defaultdict(dict)
    for row in rows(report / "by_spec.csv"):
        assert row["encoder"] in row["folder"]
        found[row["folder"]][row["split"], row["spec"], row["metric"]] = float(row["value"])
    for path in benchmark_path.rglob("test.json"):
        tested = json.loads(path.read_text())["metrics_by_spec"]
        expected = {
            (split, spec, metric): value
            for split, specs in tested.items()
            for spec, metrics in specs.items()
            for metric, value in metrics.items()
        }
        folder = str(path.parent.relative_to(benchmark_path))
        assert found.pop(folder, {}) == expected
    assert not found
    text = (report / "report.md").read_text()
    part = text.partition("## Of each cell and size\n")[2].partition("\n## ")[0]
    assert part.count("languages: emulation: total variation ↓") == 2  # validation, OOD
    assert "clone" not in part
    first, second = (next(x for x in part.splitlines() if e in x) for e in ENCODERS)
    assert [("**" in cell) for cell in first.split("|")[2:4]] == [True, False]
    assert [("**" in cell) for cell in second.split("|")[2:4]] == [False, True]


def test_the_summary_is_of_those_numbers(report: Path) -> None:
    values = defaultdict(list)
    for row in rows(report / "results.csv"):
        key = (row["zoo"], row["encoder"], row["target"], row["split"], row["metric"])
        values[key].append(float(row["value"]))
    with_mean = [row for row in rows(report / "summary.csv") if row["mean"]]
    assert len(with_mean) > 20
    for row in with_mean:
        own = values[row["zoo"], row["encoder"], row["target"], row["split"], row["metric"]]
        assert float(row["mean"]) == pytest.approx(np.mean(own), nan_ok=True)
        assert int(row["seeds"]) == len(own)


def test_what_failed_and_what_is_missing_is_said(report: Path) -> None:
    states = {row["folder"]: row for row in rows(report / "runs.csv")}
    failed = states[f"{TRIALS}/languages/LayerwiseStatistics/seed1/task-scratch"]
    assert (failed["state"], failed["error"]) == ("failed", "ValueError: <no> memory | left")
    missing = states[f"{TRIALS}/languages/InteractiveProbing/seed1/task-scratch"]
    assert missing["state"] == "missing"
    page = Page((report / "report.html").read_text()).text
    assert "ValueError: <no> memory | left" in page
    assert "1 failed, 1 missing" in page
    assert r"ValueError: \<no\> memory \| left" in (report / "report.md").read_text()


def test_the_page_needs_nothing_beside_it_and_every_link_leads_somewhere(report: Path) -> None:
    content = (report / "report.html").read_text()
    page = Page(content)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    assert not page.tags["link"]
    assert not re.search(r"@import|url\(|fetch\(|https?:", content)
    assert page.tags["table"] == page.tags["caption"] > 5
    assert len(content) < 4e6
    with pytest.raises(AssertionError):
        Page(content.replace("</section>", "", 1))


def test_the_same_results_give_the_same_bytes(
    benchmark_path: Path, report: Path, tmp_path: Path
) -> None:
    assert main(["report", str(benchmark_path), "--out", str(tmp_path)]) == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes(), name


@pytest.fixture
def copy(benchmark_path: Path, tmp_path: Path) -> Path:
    """The benchmark's results alone, to be changed."""
    ignored = shutil.ignore_patterns("*.ckpt", "*.safetensors", "logs")
    return shutil.copytree(benchmark_path, tmp_path / "copy", ignore=ignored)


@pytest.mark.parametrize("name", ["benchmark.json", "cell.json", "properties.json"])
def test_a_damaged_file_is_one_error_that_names_it(
    name: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(copy.rglob(name))
    path.write_text(path.read_text()[:40])
    assert main(["report", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert not (copy / "report.html").exists()
    (copy / "benchmark.json").unlink()
    assert main(["report", str(copy)]) == 1
    assert "benchmark.json does not describe a benchmark" in capsys.readouterr().err


def test_of_a_benchmark_that_has_not_begun_all_is_missing(copy: Path) -> None:
    shutil.rmtree(copy / TRIALS)
    assert main(["report", str(copy)]) == 0
    assert {row["state"] for row in rows(copy / "runs.csv")} == {"missing"}
    assert rows(copy / "results.csv") == []
    Page((copy / "report.html").read_text())


def test_whatever_was_measured_is_shown(copy: Path) -> None:
    path = copy / TRIALS / "properties" / "LayerwiseStatistics" / "properties.json"
    path.write_text(json.dumps({"name": "x", "same_function": ["third"], "new": 3}))
    assert main(["report", str(copy)]) == 0
    found = {(row["encoder"], row["fact"]): row["value"] for row in rows(copy / "properties.csv")}
    assert found["LayerwiseStatistics", "same_function"] == "['third']"
    assert found["LayerwiseStatistics", "new"] == "3"
    assert found["InteractiveProbing", "permutation_invariant"] == "True"
