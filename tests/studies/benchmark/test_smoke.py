"""The smoke tier with one of its seeds: every encoder, every kind of trial, and the report."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import wsrl
from wsrl.studies.benchmark.results import KINDS, read_results


def test_the_smoke_tier_runs_whole(tmp_path: Path) -> None:
    """As a command of its own: its trials are forked from a process that has all imports."""
    out = tmp_path / "smoke"
    command = ["benchmark", "--tier", "smoke", "--seeds", "[0]", "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, "-m", "wsrl", *command],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, (ended.stdout[-2000:], ended.stderr[-2000:])
    results = read_results(out)
    assert {result.trial.kind for result in results} == set(KINDS)
    encoders = {
        r.trial.encoder
        for r in results
        if r.trial.kind == "emulation" and "-" not in r.trial.encoder
    }
    assert encoders == set(wsrl.list_encoders())
    planned = json.loads((out / "benchmark.json").read_text())["cells"]
    assert {trial["name"] for trial in planned} == {result.trial.name for result in results}
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = {name for result in results for name in result.metrics}
    assert len(rows) >= len(numbers)
    page = (out / "report.html").read_text()
    for encoder in encoders:
        assert encoder in page
        assert encoder in (out / "report.md").read_text()
