"""The report of a benchmark, made from its stored results: an HTML page, Markdown and CSV.

The page needs nothing beside it.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from wsrl.studies.report import charts, rnns, tables
from wsrl.studies.report.ranking import Ranking, rank
from wsrl.studies.report.reading import ABOUT, AND, PROPERTIES, RESULTS, RUN, RUNS, Benchmark
from wsrl.studies.report.words import flat, markdown_line, markdown_text
from wsrl.studies.tables import to_csv
from wsrl.terminal import printable
from wsrl.zoos.files import remove_leftovers, write_atomically


def write_report(folder: Path, out: Path) -> str:
    """Write the report of a benchmark.

    Args:
        folder: the benchmark's.
        out: where to write.

    Returns:
        What there is, in a line.

    Raises:
        ValueError: for a folder that holds no benchmark, or a damaged one.
    """
    benchmark = Benchmark.read(folder)
    ranking = rank(benchmark)
    results = benchmark.results.merge(benchmark.runs[["folder", *ABOUT]], on="folder")
    results["value"] = results["value"].astype(object).fillna("nan")
    said = _said(ranking)
    files = {
        "report.html": _html(ranking, said),
        "report.md": _markdown(said),
        RESULTS: to_csv(results[[*ABOUT, "split", "metric", "value", "folder"]]),
        RUNS: to_csv(benchmark.runs[list(RUN)]),
        "summary.csv": to_csv(ranking.summary()),
        PROPERTIES: to_csv(benchmark.properties),
    }
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    for name, content in files.items():
        write_atomically(out / name, content.encode())
    counts = ", ".join(f"{said['states'][state]} {state}" for state in ("failed", "missing"))
    return f"written: {out / 'report.html'} ({said['states']['done']} trials, {counts})"


def _said(ranking: Ranking) -> dict[str, Any]:
    """Return what both templates read."""
    benchmark = ranking.benchmark
    made_with = "; ".join(words for words in benchmark.runs.made_with.unique() if words)
    settings = {name: {"value": text} for name, text in flat(benchmark.settings).items()}
    sections = {
        "Main results": tables.main_tables(ranking),
        "Differences": tables.difference_tables(ranking),
        "All targets": tables.target_tables(ranking),
        "Ablations": tables.ablation_tables(ranking),
        "Properties of the encoders": tables.property_tables(benchmark.properties),
        "Cost": tables.cost_tables(benchmark),
        "Settings": [tables.facts_table("Settings", settings, "setting")],
    }
    states = ("done", "failed", "missing")
    return {
        "benchmark": benchmark,
        "title": f"Benchmark {benchmark.folder.absolute().name}: encoders of RNN weights",
        "states": {state: int((benchmark.runs.state == state).sum()) for state in states},
        "made_with": list(dict.fromkeys(filter(None, made_with.split("; ")))),
        "ranks": tables.rank_table(ranking),
        "failed": tables.failed_table(benchmark),
        "missing": list(benchmark.runs.folder[benchmark.runs.state == "missing"]),
        "sections": {title: list(found) for title, found in sections.items()},
    }


def _html(ranking: Ranking, said: dict[str, Any]) -> str:
    """Return the page."""
    benchmark, figures = ranking.benchmark, list[dict[str, Any]]()

    def place(chart: charts.Chart) -> int:
        """Keep a chart's figure for the page's script; return its number."""
        figures.append({**json.loads(chart.figure.to_json()), "group": chart.group})
        return len(figures) - 1

    found = {
        "lead": charts.trades(ranking, lead=True),
        "dots": charts.dots(ranking),
        "learning": charts.learning_curves(ranking),
        "maps": rnns.maps(benchmark),
        "trades": charts.trades(ranking),
    }
    runs = benchmark.runs
    titles = runs.zoo.where(runs.zoo != "", runs.kind) + " / "
    titles += runs.label.where(runs.label != "", runs.kind)
    compressed = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    environment = _environment(_visible, autoescape=True)
    environment.filters |= {"breakable": _breakable, "place": place, "plain": unescape}
    return environment.get_template("report.html.j2").render(
        **said,
        charts={name: list(each) for name, each in found.items()},
        encoders=sum(label in set(runs.encoder) for label in benchmark.entrants),
        figures=figures,
        runs=runs.assign(title=titles),
        anchors={name: f"run-{i}" for i, name in enumerate(runs.setting.unique())},
        between=AND,
        plotly=base64.b64encode(compressed).decode(),
    )


def _markdown(said: dict[str, Any]) -> str:
    """Return the tables as Markdown; charts are on the HTML page only."""
    environment = _environment(_as_markdown, autoescape=False)
    environment.filters["line"] = markdown_line
    return environment.get_template("report.md.j2").render(**said)


def _environment(finalize: Callable[[Any], Any], autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("wsrl.studies.report"),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _as_markdown(value: Any) -> Any:
    return value if isinstance(value, Markup) else markdown_text(value)


def _visible(value: Any) -> Any:
    """Escape what cannot be seen; the template escapes HTML."""
    return value if isinstance(value, Markup) else printable(str(value))


def _breakable(name: str) -> Markup:
    """Let a long name break between its words: ``InteractiveProbing-num_probes=2``."""
    text = str(escape(printable(name)))
    return Markup(re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[-=/_,])", "<wbr>", text))
