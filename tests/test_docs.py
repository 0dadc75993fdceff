"""The code in the documentation runs: the Python blocks of a page one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsrl.problems.registry import PROBLEMS

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted((DOCS / "extend").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with PROBLEMS.restored():
        names: dict[str, object] = {"__name__": f"docs_{page.stem}"}
        for block in BLOCK.findall(page.read_text()):
            exec(compile(block, str(page), "exec"), names)


def test_a_problem_of_ones_own_is_short() -> None:
    (problem, *_) = BLOCK.findall((DOCS / "extend" / "problem.md").read_text())
    assert "TrainableProblem" in problem
    assert len(problem.splitlines()) <= 60
