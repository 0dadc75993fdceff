"""The report of a benchmark, made from what is stored of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


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
    from wsrl.studies.report.page import Report, to_html, to_markdown
    from wsrl.studies.report.properties import TABLE, read_properties
    from wsrl.studies.report.ranking import rank
    from wsrl.studies.report.reading import ABOUT, RESULTS, RUN, RUNS, Benchmark
    from wsrl.zoos.files import remove_leftovers, write_atomically

    benchmark = Benchmark.read(folder)
    ranking, properties = rank(benchmark), read_properties(benchmark)
    report = Report(benchmark, ranking, properties)
    about = benchmark.runs[["folder", *ABOUT]]
    results = benchmark.results.merge(about, on="folder")
    results["value"] = results["value"].astype(object).fillna("nan")
    files = {
        "report.html": to_html(report),
        "report.md": to_markdown(report),
        RESULTS: to_csv(results[[*ABOUT, "split", "metric", "value", "folder"]]),
        RUNS: to_csv(benchmark.runs[list(RUN)]),
        "summary.csv": to_csv(ranking.summary()),
        TABLE: to_csv(properties),
    }
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    for name, content in files.items():
        write_atomically(out / name, content.encode())
    states = report.states
    return (
        f"written: {out / 'report.html'} ({states.get('done', 0)} trials, "
        f"{states.get('failed', 0)} failed, {states.get('missing', 0)} missing)"
    )


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV; text that a spreadsheet would compute is marked as text."""
    from wsrl.studies.tables import spreadsheet_cell

    return str(table.map(spreadsheet_cell).to_csv(index=False, lineterminator="\n"))
