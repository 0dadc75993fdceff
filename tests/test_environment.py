"""Environments of launchers that are only half there end a command in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsrl.cli import main
from wsrl.environment import check_training, find_place

ROOT = Path(__file__).parents[1]
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x"}
RANKS = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
JOB = {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "x"}
PLACE = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
STEP = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}

REFUSED = {
    # What is there, what the line says, and which commands it ends.
    "only torchrun's name": (TORCHRUN, "RANK is not set", "fit build benchmark"),
    "no MASTER_PORT": (TORCHRUN | RANKS | {"MASTER_ADDR": "x"}, "MASTER_PORT is not set", "fit"),
    "a rank too high": (TORCHRUN | RANKS | MEETING | {"RANK": "2"}, "RANK is 2, but", "fit"),
    "RANK alone": ({"RANK": "0"}, "WORLD_SIZE is not", "fit benchmark"),
    "LOCAL_RANK alone": ({"LOCAL_RANK": "1"}, "MASTER_PORT", "fit"),
    "a rank of text": ({"RANK": "first"}, "RANK is 'first'", "fit build baseline"),
    "tasks anywhere": (JOB, "--ntasks-per-node=4", "fit benchmark"),
    "tasks without srun": (JOB | {"SLURM_NTASKS_PER_NODE": "4"}, "SLURM_PROCID is not set", "fit"),
    "a step without a place": (STEP, "SLURM_PROCID is not set", "build"),
    "a task too many": (STEP | PLACE | {"SLURM_PROCID": "4"}, "SLURM_PROCID is 4, but", "build"),
}
ACCEPTED = {
    "nothing": {},
    "torchrun": TORCHRUN | RANKS | MEETING,
    "Lightning": {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"} | MEETING,
    "one task": {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "x"},
    "srun": JOB | PLACE | STEP | {"SLURM_NTASKS_PER_NODE": "2"},
    "an interactive job": JOB | {"SLURM_JOB_NAME": "interactive"},
}
COMMANDS = {
    "fit": ["fit", "--run", "run", "--data.zoo", "zoo"],
    "build": ["zoo", "build", "--problem", "formal_languages", "--out", "zoo"],
    "benchmark": ["benchmark", "--tier", "smoke", "--out", "results"],
    "baseline": ["baseline", "mean", "--target", "x", "--data.zoo", "zoo", "--run", "run"],
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "TORCHELASTIC_", "MASTER_")) or name.endswith("RANK"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def place(known: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in known.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "command"), [(name, one) for name in REFUSED for one in REFUSED[name][2].split()]
)
def test_half_an_environment_is_one_line(
    name: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known, said, _ = REFUSED[name]
    place(known, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(COMMANDS[command]) == 1
    error = capsys.readouterr().err
    assert ": error: " in error
    assert error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_whole_environment_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place(ACCEPTED[name], monkeypatch)
    check_training()
    assert find_place("cpu").device == "cpu"


def test_nothing_is_imported_that_reads_the_variables_before_they_are_checked() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wsrl.cli", *COMMANDS["fit"]],
        env=os.environ | {"RANK": "first"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("wsrl fit: error: the environment variable RANK is 'first'")
    assert done.stderr.count("\n") == 1
