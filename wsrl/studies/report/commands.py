"""The report of a benchmark, made from what is stored of it."""

from __future__ import annotations

from pathlib import Path


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
