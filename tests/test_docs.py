"""The code in the documentation runs: the Python blocks of a page one after the other."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from tests.test_readme import commands
from wsrl.cli import main
from wsrl.encoders.registry import ENCODERS
from wsrl.problems.registry import PROBLEMS
from wsrl.rnn.cells.registry import CELLS
from wsrl.tasks.heads import HEADS
from wsrl.tasks.losses import LOSSES
from wsrl.tasks.targets import TARGETS

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted((DOCS / "extend").glob("*.md"))


def run_page(name: str) -> None:
    """Run the code of a page; what it registers stays."""
    page = DOCS / "extend" / name
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, str(page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registries = (PROBLEMS, CELLS, ENCODERS, TARGETS, HEADS, *LOSSES.values())
    with ExitStack() as restored:
        for registry in registries:
            restored.enter_context(registry.restored())
        run_page(page.name)


def test_fifty_rnns_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS / "howto" / "own_rnns.md"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for language, block in re.findall(
        r"^```(python|bash)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        if language == "python":
            exec(compile(block, str(page), "exec", dont_inherit=True), names)
            continue
        for words in commands(block):
            assert main(words) == 0, words
    said = capsys.readouterr().out
    assert "threshold  real\n  optimiser  2 classes: Adam, SGD" in said
    found = pd.read_csv("predictions.csv")
    assert found["name"].tolist() == [f"seed{seed:02d}/model.pt" for seed in range(50)]
    assert found["optimiser"].tolist() == ["Adam", "SGD"] * 25
    assert set(found["predicted_optimiser"]) <= {"Adam", "SGD"}
    assert said.endswith("gru 1x8, 1 inputs, 2 outputs ('Adam', 'SGD')\n")


def test_a_problem_of_ones_own_is_short() -> None:
    (problem, *_) = BLOCK.findall((DOCS / "extend" / "problem.md").read_text())
    assert "TrainableProblem" in problem
    assert len(problem.splitlines()) <= 60
