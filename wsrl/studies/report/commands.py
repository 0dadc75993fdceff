"""``wsrl report``: make the report of a benchmark from what is stored of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wsrl.terminal import CommandParser

DESCRIPTION = """\
Make the report of a benchmark, finished or not, from its stored results alone:
report.html (one page that needs nothing beside it), report.md, results.csv (every number), runs.csv
(every run: how it ended, its cost, the commands that made it) and summary.csv (means over seeds,
ranks, differences)."""


def report_from_arguments(args: Sequence[str]) -> str:
    """Make the report that the command line asks for.

    Returns:
        What is to be printed.

    Raises:
        ValueError: for a folder that holds no benchmark, or a damaged one.
    """
    parser = CommandParser(
        prog="wsrl report",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="the benchmark's folder")
    parser.add_argument("--out", help="folder for the report (default: the benchmark's)")
    options = parser.parse_args(args)
    folder = Path(options.folder)
    return write_report(folder, Path(options.out) if options.out else folder)


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
    from wsrl.studies.report.markdown import to_markdown
    from wsrl.studies.report.page import to_html
    from wsrl.studies.report.reading import Benchmark
    from wsrl.studies.report.run_list import list_runs
    from wsrl.studies.report.sections import find_sections
    from wsrl.studies.report.spreadsheets import results_csv, runs_csv, summary_csv
    from wsrl.studies.report.standings import find_standings
    from wsrl.zoos.files import remove_leftovers, write_atomically

    benchmark = Benchmark.read(folder)
    standings = find_standings(benchmark)
    sections = find_sections(benchmark, standings)
    title = f"Benchmark {benchmark.name}: encoders of RNN weights"
    files = {
        "report.html": to_html(title, sections, *list_runs(benchmark)),
        "report.md": to_markdown(title, sections),
        "results.csv": results_csv(benchmark),
        "runs.csv": runs_csv(benchmark),
        "summary.csv": summary_csv(standings),
    }
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    for name, content in files.items():
        write_atomically(out / name, content.encode())
    states = [benchmark.state(cell) for cell in benchmark.cells]
    return (
        f"written: {out / 'report.html'} ({states.count('done')} cells, {states.count('failed')} "
        f"failed, {states.count('missing')} missing)"
    )
