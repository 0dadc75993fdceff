"""Private memory does not grow with a zoo that is read (measured large by the benchmark)."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from wsrl.problems import FormalLanguages

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "zoo_memory.py"
MEASURE = """
import runpy, sys
benchmark, small, large = sys.argv[1:]
read_all = runpy.run_path(benchmark)["read_all"]
read_all(small)  # whatever is allocated once
for zoo, in_memory in ((small, False), (large, False), (large, True)):
    private, megabytes_read, _ = read_all(zoo, in_memory)
    print(private, megabytes_read)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_zoo_ten_times_as_large_takes_no_more_private_memory(tmp_path: Path) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    problem = FormalLanguages()
    spec = problem.spec("lstm", 32, 2)
    small, large = tmp_path / "small", tmp_path / "large"
    size = benchmark["write_zoo"](small, 60, problem, spec)
    assert benchmark["write_zoo"](large, 600, problem, spec) > 9 * size > 50
    # In a process of its own, which has no memory to reuse that other tests have freed.
    command = [sys.executable, "-c", MEASURE, str(BENCHMARK), str(small), str(large)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    private, read = zip(
        *(map(float, line.split()) for line in result.stdout.splitlines()), strict=True
    )
    private_small, private_large, in_memory = private
    assert private_small < 10  # buffers of a batch, a few MB
    assert private_large < 10
    assert read[1] > 30
    assert in_memory > 50  # the measure sees memory where there is some
