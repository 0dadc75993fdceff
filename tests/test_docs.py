"""The code in the documentation runs: the Python blocks of a page one after the other."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

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


def test_a_problem_of_ones_own_is_short() -> None:
    (problem, *_) = BLOCK.findall((DOCS / "extend" / "problem.md").read_text())
    assert "TrainableProblem" in problem
    assert len(problem.splitlines()) <= 60
