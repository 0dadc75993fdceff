"""What is killed near its end is completed by the same command again, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.studies.training.interruptions import ROOT, curves, weights
from tests.studies.training.test_stopping_runs import EMULATION, ENVIRONMENT, carry_out, fit, log
from wsrl.cli import main
from wsrl.studies.training.runs import Run
from wsrl.zoos.files import partial_file

FIGURES = [*EMULATION, "--model.figures", "true"]
ONE_VALIDATION = ["--trainer.max_steps", "3"]
KILLS = {
    # When the run is killed, and what else it is told.
    "before-figures": ("end 12 SIGKILL 0", []),
    "before-cost": ("saved 12 SIGKILL 0", []),
    "every-step-before-figures": ("end 12 SIGKILL 0", ["--checkpoint_minutes", "0"]),
    "one-validation": ("end 3 SIGKILL 0", ONE_VALIDATION),
    "one-validation-while-the-end-is-saved": ("write 4 SIGKILL 0", ONE_VALIDATION),
}


@pytest.fixture(scope="module")
def runs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were not interrupted, of 12 steps and of 3, and those that went on after a kill."""
    base = tmp_path_factory.mktemp("ends")
    wanted: list[dict[str, Any]] = []

    def add(name: str, interrupt: str, options: list[str]) -> None:
        args = fit(zoo_path, base / name, FIGURES, *options)
        wanted.append({"args": args, "interrupt": interrupt, "log": str(log(base / name))})

    add("whole-12", "no 0 0 0", [])
    add("whole-3", "no 0 0 0", ONE_VALIDATION)
    for name, (interrupt, options) in KILLS.items():
        add(name, interrupt, options)
        add(name, "no 0 0 0", options)
    statuses = carry_out(wanted)
    assert statuses == [[0], [0], *[[-signal.SIGKILL], [0]] * len(KILLS)]
    return base


def projected(folder: Path) -> dict[str, str]:
    """Return the projector's files."""
    files = [*folder.rglob("*.tsv"), *folder.rglob("*.pbtxt")]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.mark.parametrize("name", KILLS)
def test_a_run_that_is_killed_near_its_end_gets_all_that_belongs_to_it(
    name: str, runs: Path
) -> None:
    steps = 3 if "one-validation" in name else 12
    whole, resumed = runs / f"whole-{steps}", runs / name
    figures = projected(whole / "logs")
    assert "projector_config.pbtxt" in figures
    assert f"{steps:05}/validation_embeddings/tensors.tsv" in figures
    assert projected(resumed / "logs") == figures
    assert curves(resumed) == curves(whole)
    assert json.loads((resumed / "cost.json").read_text())["steps"] == steps
    for word in ("last", "best"):
        expected, found = weights(whole, word), weights(resumed, word)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=0)
    assert not list(resumed.rglob("*.partial"))
    assert "warning" not in log(resumed).read_text()


def test_a_finished_run_does_nothing_again(runs: Path, zoo_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (runs / "whole-3" / "logs").rglob("*.tsv")}
    assert main(fit(zoo_path, runs / "whole-3", FIGURES, *ONE_VALIDATION)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


KILLED = """
import os, signal, sys
from wsrl.cli import main

sync = os.fsync
def kill(handle):
    name = os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))
    if name.startswith(sys.argv[1]) and name.endswith(".partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = kill
main(sys.argv[2:])
"""


def kill_while_writing(name: str, words: list[str]) -> None:
    """Run a command that is killed when it has written a file of this name, but not all is done."""
    command = [sys.executable, "-c", KILLED, name, *words]
    killed = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("command", "name"), [("test", "test.json"), ("predict", "embeddings")])
def test_the_next_command_removes_what_a_killed_one_left(
    command: str, name: str, runs: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(runs / "whole-3", tmp_path / "run")
    words = ["--run", str(folder), "--ckpt_path", "best"]
    kill_while_writing(name, [command, *words])
    (left,) = folder.glob("*.partial")
    assert main(["validate", *words]) == 0
    assert not left.exists()


def test_what_another_process_is_writing_stays(runs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(runs / "whole-3", tmp_path / "run")
    with partial_file(folder / "test.json") as (partial, _):
        words = ["--run", str(folder), "--ckpt_path", "best"]
        assert main(["validate", *words]) == 0
        Run(folder).remove_leftovers()
        assert partial.exists()


def test_a_test_that_is_killed_leaves_no_metrics_of_another(runs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(runs / "whole-3", tmp_path / "run")
    words = ["--run", str(folder), "--ckpt_path"]
    assert main(["test", *words, "last"]) == 0
    before = (folder / "test.safetensors").read_bytes()
    kill_while_writing("test.json", ["test", *words, "best"])
    assert (folder / "test.safetensors").read_bytes() != before
    assert not (folder / "test.json").exists()
