"""The report of a benchmark, made from its stored results: an HTML page, Markdown and CSV.

The page needs nothing beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from wsrl.studies.report import charts, rnns, tables
from wsrl.studies.report.pages import environment, render
from wsrl.studies.report.ranking import SUMMARY, rank
from wsrl.studies.report.reading import ABOUT, NUMBER, OF_SPEC, RUN, Benchmark
from wsrl.studies.report.words import markdown_line, markdown_text
from wsrl.studies.tables import to_csv
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
    said = _said(ranking, benchmark)
    files = {
        "report.html": _html(ranking, said),
        "report.md": _markdown(said),
        "results.csv": _csv(benchmark.results, NUMBER, benchmark),
        "by_spec.csv": _csv(benchmark.by_spec, OF_SPEC, benchmark),
        "runs.csv": to_csv(benchmark.runs[RUN]),
        "summary.csv": to_csv(ranking[SUMMARY]),
        "properties.csv": to_csv(benchmark.properties),
    }
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    for name, content in files.items():
        write_atomically(out / name, content.encode())
    counts = ", ".join(f"{said['states'][state]} {state}" for state in ("failed", "missing"))
    return f"written: {out / 'report.html'} ({said['states']['done']} trials, {counts})"


def _csv(numbers: pd.DataFrame, columns: Sequence[str], benchmark: Benchmark) -> str:
    """Return numbers with what they are of; one that is not defined is written as such."""
    found = numbers.merge(benchmark.runs[["folder", *ABOUT]], on="folder")
    found["value"] = found["value"].astype(object).fillna("nan")
    return to_csv(found[[*ABOUT, *columns[1:], "folder"]])


def _said(ranking: pd.DataFrame, benchmark: Benchmark) -> dict[str, Any]:
    """Return what both templates read."""
    sections = {
        "Main results": tables.main_tables(ranking, tables.means),
        "Of each cell and size": tables.spec_tables(benchmark),
        "Differences": tables.difference_tables(ranking, benchmark),
        "All targets": tables.target_tables(ranking),
        "Ablations": tables.ablation_tables(ranking),
        "Properties of the encoders": tables.property_table(benchmark.properties),
    }
    runs = benchmark.runs
    made_with = dict.fromkeys("; ".join(runs.made_with).split("; "))
    return {
        "benchmark": benchmark,
        "title": f"Benchmark {benchmark.folder.absolute().name}: encoders of RNN weights",
        "states": {s: int((runs.state == s).sum()) for s in ("done", "failed", "missing")},
        "made_with": [words for words in made_with if words],
        "ranks": tables.rank_table(ranking, benchmark),
        "failed": tables.failed_table(benchmark),
        "missing": list(runs.folder[runs.state == "missing"]),
        "sections": {title: list(found) for title, found in sections.items()},
    }


def _html(ranking: pd.DataFrame, said: dict[str, Any]) -> str:
    """Return the page."""
    benchmark, trades = said["benchmark"], list(charts.trades(ranking, said["benchmark"]))
    found = {
        # The last of each zoo; every other one is by seconds.
        "lead": {chart.title.partition(":")[0]: chart for chart in trades[::2]}.values(),
        "dots": list(charts.dots(ranking)),
        "learning": list(charts.learning_curves(ranking, benchmark)),
        "maps": list(rnns.maps(benchmark)),
        "trades": trades,
    }
    encoders = sum(label in set(benchmark.runs.encoder) for label in benchmark.entrants)
    return render("report.html.j2", **said, charts=found, encoders=encoders)


def _markdown(said: dict[str, Any]) -> str:
    """Return the tables as Markdown; charts are on the HTML page only."""
    made = environment(_as_markdown, autoescape=False)
    made.filters["line"] = markdown_line
    return made.get_template("report.md.j2").render(**said)


def _as_markdown(value: Any) -> Any:
    return value if isinstance(value, Markup) else markdown_text(value)
