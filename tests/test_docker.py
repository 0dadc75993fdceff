"""Docker and SLURM: what the files in ``docker/`` run is what the project and the command know."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wsrl.cli import main

dask_scheduler = pytest.importorskip("distributed.cli.dask_scheduler", reason="no wsrl[cluster]")
dask_worker = pytest.importorskip("distributed.cli.dask_worker", reason="no wsrl[cluster]")

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
SCRIPTS = sorted((DOCKER / "slurm").glob("*.sbatch"))
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
    "build_array": ["configs/zoo/formal_languages.yaml", "zoos/my zoo"],
    "pretrain": ["InteractiveProbing", "zoos/my zoo", "runs/x", "--trainer.max_steps", "7"],
}
RECORDED = r"""
srun() { printf '%s\n' srun "$@" '' >> "$RECORD"; return "$STATUS"; }
scontrol() { printf '%s\n' scontrol "$@" '' >> "$RECORD"; }
export -f srun scontrol
exec bash "$@"
"""


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def accepted(words: list[str]) -> None:
    """Have the real parser read the words after ``wsrl``, configs included, and do nothing."""
    assert main([*words, "--print_config"]) == 0, words


def test_the_requirements_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib", reason="the image has Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = {(): project["dependencies"], ("dev",): project["optional-dependencies"]["dev"]}
    for extras, lines in expected.items():
        command = [sys.executable, "docker/requirements.py", *extras]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == lines


def test_what_the_dockerfile_copies_exists_and_the_command_is_nobody_s_but_a_user_s() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    for names in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in names.split()), names
    last = text.split("\nFROM ")[-1]
    assert "USER ${USER_ID}:${GROUP_ID}" in last
    assert 'ENTRYPOINT ["wsrl"]' in last


def test_the_compose_files_fit_the_dockerfile() -> None:
    names = ("compose.yaml", "compose.cuda.yaml")
    box, gpu = (yaml.safe_load((DOCKER / name).read_text())["services"] for name in names)
    known = set(re.findall(r"^ARG (\w+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    assert {*box["wsrl"]["build"]["args"], *gpu["wsrl"]["build"]["args"]} <= known
    for services in (box, gpu):
        assert services["tensorboard"]["image"] == services["wsrl"]["image"]
    for name, options in (("scheduler", dask_scheduler), ("worker", dask_worker)):
        dask, word, *words = box[name]["entrypoint"]
        assert (dask, word) == ("dask", name)
        options.main.make_context(name, words, resilient_parsing=False)  # refuses what it has not
        assert box[name]["volumes"] == box["wsrl"]["volumes"]  # the same disk, and keys
        assert box[name]["environment"] == box["wsrl"]["environment"]


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile"])
def test_the_commands_in_the_comments_are_right(name: str) -> None:
    comments = re.findall(r"^#(.*)$", (DOCKER / name).read_text(), re.MULTILINE)
    lines = "\n".join(comments).replace("\\\n", " ").splitlines()
    found = [shlex.split(line.partition(" wsrl ")[2]) for line in lines if " run " in line]
    assert any(found)
    for words in filter(None, found):
        accepted(words)


def submitted(script: Path, folder: Path, status: int = 0) -> tuple[int, list[list[str]]]:
    """Run a job script as SLURM does; return its exit status and all calls of SLURM's commands."""
    record = folder / "record"
    record.write_text("")
    environment: dict[str, Any] = {**os.environ, **SLURM, "RECORD": record, "STATUS": str(status)}
    command = ["bash", "-c", RECORDED, "bash", str(script), *ARGUMENTS[script.stem]]
    done = subprocess.run(command, env=environment)
    return done.returncode, [call.splitlines() for call in record.read_text().split("\n\n") if call]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_command_understands_the_job(script: Path, tmp_path: Path) -> None:
    status, ((srun, *words),) = submitted(script, tmp_path)
    assert (status, srun) == (0, "srun")
    accepted(words[words.index("wsrl") + 1 :])
    (spaced,) = [word for word in ARGUMENTS[script.stem] if " " in word]
    assert spaced in words  # one word still
    if script.stem == "build_array":
        assert words[-2:] == ["--part", "5/8"]
        assert "#SBATCH --array=1-" in script.read_text()  # as --part counts
    else:
        assert not {"--part", "--workers", "--nodes"} & {*words}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_job_that_was_told_to_stop_is_queued_again_and_no_other(
    script: Path, tmp_path: Path
) -> None:
    lines = script.read_text().splitlines()
    told = [line for line in lines if line.startswith("#SBATCH")]
    assert all(line.startswith("#") for line in lines[: lines.index(told[-1])])  # or SLURM ignores
    assert {f"#SBATCH {word}" for word in ("--signal=SIGUSR1@120", "--requeue")} < {*told}
    job = "70_5" if script.stem == "build_array" else "75"
    for status, queued in ((138, [["scontrol", "requeue", job]]), (1, []), (143, [])):
        found, calls = submitted(script, tmp_path, status)
        assert (found, calls[1:]) == (status, queued)
