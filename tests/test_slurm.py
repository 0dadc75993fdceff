"""The job scripts for SLURM are right, and the command understands what they ask of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.test_docker import ROOT, accepted

FOLDER = ROOT / "docker" / "slurm"
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
SLURM = {
    "SLURM_ARRAY_JOB_ID": "70",
    "SLURM_ARRAY_TASK_COUNT": "8",
    "SLURM_ARRAY_TASK_ID": "5",
    "SLURM_CPUS_PER_TASK": "4",
    "SLURM_JOB_ID": "75",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_NTASKS_PER_NODE": "2",
}
ARGUMENTS = {
    "benchmark": ["paper", "runs/my x", "--seeds", "[0]"],
    "build_array": ["configs/zoo/formal_languages.yaml", "zoos/my zoo"],
    "build_nodes": ["configs/zoo/formal_languages.yaml", "zoos/my zoo"],
    "pretrain": ["InteractiveProbing", "zoos/my zoo", "runs/x", "--trainer.max_steps", "7"],
}
RECORDED = r"""
srun() { printf '%s\n' srun "$@" '' >> "$RECORD"; return "$STATUS"; }
scontrol() { printf '%s\n' scontrol "$@" '' >> "$RECORD"; }
export -f srun scontrol
exec bash "$@"
"""


def submitted(
    script: Path, folder: Path, status: int = 0, **variables: str
) -> tuple[int, list[list[str]]]:
    """Run a job script as SLURM does; return its exit status and all calls of SLURM's commands."""
    record = folder / "record"
    record.write_text("")
    settings = {**SLURM, **variables, "RECORD": str(record), "STATUS": str(status)}
    command = ["bash", "-c", RECORDED, "bash", str(script), *ARGUMENTS[script.stem]]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False)
    return done.returncode, [call.splitlines() for call in record.read_text().split("\n\n") if call]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_command_understands_the_job(
    script: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    status, calls = submitted(script, tmp_path)
    assert status == 0
    assert {call[0] for call in calls} == {"srun"}
    commands = [call[call.index("wsrl") :] for call in calls]
    for command in commands:
        accepted(command, capsys)
    (spaced,) = [word for word in ARGUMENTS[script.stem] if " " in word]
    assert spaced in commands[0]  # one word still


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_job_that_was_told_to_stop_is_queued_again_and_no_other(
    script: Path, tmp_path: Path
) -> None:
    lines = script.read_text().splitlines()
    told = [line for line in lines if line.startswith("#SBATCH")]
    assert all(line.startswith("#") for line in lines[: lines.index(told[-1])])  # or SLURM ignores
    for wanted in ("--signal=SIGUSR1@120", "--requeue", "--open-mode=append"):
        assert f"#SBATCH {wanted}" in told
    job = "70_5" if any("--array" in line for line in told) else "75"
    for status, queued in ((138, [["scontrol", "requeue", job]]), (1, []), (143, [])):
        found, calls = submitted(script, tmp_path, status)
        assert (found, calls[1:]) == (status, queued)


def test_the_parts_of_a_zoo_are_counted_as_the_command_counts_them(tmp_path: Path) -> None:
    script = FOLDER / "build_array.sbatch"
    found = re.search(r"^#SBATCH --array=(\d+)-(\d+)$", script.read_text(), re.MULTILINE)
    assert found is not None
    first, last = found.groups()
    _, calls = submitted(script, tmp_path, SLURM_ARRAY_TASK_ID=last, SLURM_ARRAY_TASK_COUNT=last)
    assert calls[0][-2:] == ["--part", f"{last}/{last}"]
    assert first == "1"  # --part is from 1/n to n/n


def test_srun_alone_shares_out_a_zoo_and_a_benchmark_is_one_process_s(tmp_path: Path) -> None:
    _, (zoo,) = submitted(FOLDER / "build_nodes.sbatch", tmp_path)
    assert not {"--part", "--devices", "--nodes"} & set(zoo[zoo.index("wsrl") :])
    script = FOLDER / "benchmark.sbatch"
    assert "#SBATCH --ntasks=1" in script.read_text().splitlines()
    assert "--array" not in script.read_text()  # a folder is one command's at a time
    _, (benchmark,) = submitted(script, tmp_path)
    words = ["--tier", "paper", "--out", "runs/my x", "--seeds", "[0]"]
    assert benchmark[-8:] == ["wsrl", "benchmark", *words]
