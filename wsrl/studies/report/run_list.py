"""The list of all runs and the commands that made them, to which every number links."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsrl.studies.benchmark.results import TRIALS, Trial
from wsrl.studies.report.layout import html_text
from wsrl.studies.report.reading import Benchmark, without_seed

_WITH_SEED = r"(seed(?:_everything)?[ =]?){}\b"


def list_runs(benchmark: Benchmark) -> tuple[str, dict[str, str]]:
    """Return the list as HTML, and the anchor of each setting in it.

    The commands of a setting are shown for its first seed. Those of another seed are shown where
    they differ in more than the seed.
    """
    settings: dict[str, list[Trial]] = {}
    for cell in benchmark.cells:
        settings.setdefault(without_seed(cell), []).append(cell)
    anchors = {setting: f"run-{index}" for index, setting in enumerate(settings)}
    groups: dict[str, list[str]] = {}
    for setting, cells in settings.items():
        title = f"{cells[0].zoo or cells[0].kind} / {cells[0].encoder or cells[0].kind}"
        groups.setdefault(title, []).append(_setting(benchmark, setting, cells, anchors[setting]))
    html = "".join(
        f"<details><summary>{html_text(title)}</summary>\n{''.join(content)}</details>\n"
        for title, content in groups.items()
    )
    intro = (
        "<p>The folder of every run, below that of the benchmark, and the commands that made it. "
        "Single values are in results.csv.</p>\n"
    )
    return intro + html, anchors


def _setting(benchmark: Benchmark, setting: str, cells: Sequence[Trial], anchor: str) -> str:
    content = "".join(_run(benchmark, cell, cells[0]) for cell in cells)
    return f'<div class="run" id="{anchor}"><h3>{html_text(setting)}</h3>\n{content}</div>\n'


def _run(benchmark: Benchmark, cell: Trial, first: Trial) -> str:
    state = benchmark.state(cell)
    line = f"<p><code>{html_text(f'{TRIALS}/{cell.name}')}</code>: {state}"
    commands = _commands(benchmark, cell)
    # Shorter, where embeddings are written for the first seed only.
    theirs = _reseeded(benchmark, first, cell.seed)[: len(commands)]
    if cell is not first and commands and commands == theirs:
        return f"{line}; the same commands with seed {html_text(str(cell.seed))}</p>\n"
    lines = "\n".join(map(html_text, commands))
    shown = f"<pre>{lines}</pre>" if commands else ""
    return f"{line}</p>\n{shown}\n"


def _commands(benchmark: Benchmark, cell: Trial) -> tuple[str, ...]:
    result = benchmark.results.get(cell.name)
    return result.commands if result else ()


def _reseeded(benchmark: Benchmark, first: Trial, seed: int) -> tuple[str, ...]:
    """Return the first run's commands with another seed in place of its own."""
    pattern = re.compile(_WITH_SEED.format(first.seed))
    return tuple(pattern.sub(rf"\g<1>{seed}", line) for line in _commands(benchmark, first))
