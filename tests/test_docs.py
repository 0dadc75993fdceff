"""The code in the pages on how to extend wsrl runs as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from wsrl.encoders.registry import ENCODERS
from wsrl.rnn.cells.registry import CELLS

PAGES = sorted((Path(__file__).parent.parent / "docs" / "extend").glob("*.md"))


@pytest.fixture(autouse=True)
def nothing_stays_registered() -> Iterator[None]:
    with ExitStack() as stack:
        for registry in (CELLS, ENCODERS):
            stack.enter_context(registry.restored())
        yield


def run_page(page: Path) -> dict[str, Any]:
    """Run a page's code blocks one after the other; return what they define."""
    names: dict[str, Any] = {"__name__": "__main__"}
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks, "the page has no code"
    for block in blocks:
        exec(compile(block, str(page), "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path) -> None:
    run_page(page)
