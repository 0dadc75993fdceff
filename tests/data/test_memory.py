"""Private memory does not grow with a zoo that is read (measured large by the benchmark)."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from wsrl.zoos.problems import FormalLanguages

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "zoo_memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_zoo_ten_times_as_large_takes_no_more_private_memory(tmp_path: Path) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    problem = FormalLanguages()
    spec = problem.spec("lstm", 32, 2)
    small, large = tmp_path / "small", tmp_path / "large"
    size = benchmark["write_zoo"](small, 60, problem, spec)
    assert benchmark["write_zoo"](large, 600, problem, spec) > 9 * size > 50
    benchmark["read_all"](str(small))  # whatever is allocated once
    private_small, *_ = benchmark["read_all"](str(small))
    private_large, megabytes_read, _ = benchmark["read_all"](str(large))
    assert private_small < 4
    assert private_large < 4
    assert megabytes_read > 30
    # The measure sees memory where there is some: in a process that has no freed memory to reuse.
    code = f"import runpy; b = runpy.run_path({str(BENCHMARK)!r}); print(*b['read_all']"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}({str(large)!r}, in_memory=True))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(result.stdout.split()[0]) > 30
