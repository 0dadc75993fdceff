"""Training that is stopped, killed or out of disk, and goes on as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from tests.studies.training.interruptions import (
    EMULATION,
    ENVIRONMENT,
    NEVER,
    ROOT,
    carry_out,
    curves,
    fit,
    log,
    weights,
)
from tests.waiting import until
from wsrl.studies.training.processes import is_requeued, requeue

TWO_PROCESSES = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
PREDICTION = ["--model", "wsrl.PredictionModule", "--model.target", "performance"]
PREDICTION += ["--model.mode", "scratch"]
EPOCHS = [*EMULATION, "--trainer.max_steps", "-1", "--trainer.max_epochs", "2"]
ACCUMULATED = [*EMULATION, "--trainer.accumulate_grad_batches", "2", "--trainer.max_steps", "6"]
EVERY_STEP = ["--checkpoint_minutes", "0"]
PLANS: dict[str, tuple[str, list[str], list[tuple[str, int]]]] = {
    # A run like which it must end, its options, and when it is interrupted with which exit status;
    # in the end each goes on without interruption.
    "whole": ("whole", EMULATION, []),
    "stopped": (
        "whole",
        EMULATION,
        [
            ("sanity 0 SIGTERM 0", 143),
            ("start 0 SIGTERM 0", 143),
            ("backward 2 SIGINT 0", 130),
            ("validation 6 SIGTERM 0", 143),
            ("epoch 6 SIGUSR1 0", 138),
            ("batch 7 TWICE 0", 130),
            ("validation 12 SIGTERM 0", 143),
        ],
    ),
    "killed": (
        "whole",
        EMULATION,
        [
            ("batch 2 SIGKILL 0", -9),  # before there is any checkpoint
            ("validation 6 SIGKILL 0", -9),
            ("validated 6 SIGKILL 0", -9),
            ("write 2 SIGKILL 0", -9),
            ("validation 12 SIGKILL 0", -9),
        ],
    ),
    "saved": (
        "whole",
        [*EMULATION, *EVERY_STEP],
        [
            ("write 4 SIGTERM 0", 143),  # while a checkpoint is written
            ("batch_end 5 SIGKILL 0", -9),
            ("log 5 SIGKILL 0", -9),  # after it was saved
            ("write 3 SIGKILL 0", -9),
            ("write 3 LIMIT 0", 1),
        ],
    ),
    "epochs": ("whole", EPOCHS, [("validated 12 SIGKILL 0", -9), ("end 12 SIGKILL 0", -9)]),
    "accumulated": ("accumulated", ACCUMULATED, []),
    "accumulating": (
        "accumulated",
        [*ACCUMULATED, *EVERY_STEP],
        [("backward 1 SIGTERM 0", 143), ("batch 4 SIGKILL 0", -9), ("batch 5 SIGINT 0", 130)],
    ),
    "predicted": ("predicted", PREDICTION, []),
    "prediction": ("predicted", PREDICTION, [("batch 4 SIGTERM 0", 143)]),
    "before cost": ("predicted", PREDICTION, [("saved 12 SIGKILL 0", -9)]),
}


Runs = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def runs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Carry out all plans; return their folder and how each process ended."""
    base = tmp_path_factory.mktemp("runs")
    wanted: list[dict[str, Any]] = []

    def add(name: str, options: list[str], interrupt: str = NEVER, **more: Any) -> None:
        known = {"name": name, "interrupt": interrupt, "log": str(log(base / name))}
        wanted.append({"args": fit(zoo_path, base / name, options), **known, **more})

    for name, (_, options, interruptions) in PLANS.items():
        for interrupt, _ in interruptions:
            add(name, options, interrupt)
        add(name, options)
    for steps in ("4", "12"):
        add("extended", [*EMULATION, "--trainer.max_steps", steps])
    two = [*EMULATION, *TWO_PROCESSES]
    ended = launch(fit(zoo_path, base / "two", two), log(base / "two"), "backward 4 SIGTERM 1")
    add("whole two", two, processes=2)
    for interrupt in ("backward 6 GROUP 1", "write 2 SIGKILL 0", NEVER):
        add("two", two, interrupt, processes=2)
    for name, interrupt, environment in make_cluster(base):
        add(name, EMULATION, interrupt, environment=environment)
    statuses: dict[str, Any] = {"two": [[ended]]}
    for run, status in zip(wanted, carry_out(wanted), strict=True):
        statuses.setdefault(run["name"], []).append(status)
    return base, statuses


def launch(args: list[str], said: Path, interrupt: str) -> int:
    """Run the command as a user does; with two processes, Lightning starts the second one."""
    command = [sys.executable, "-m", "wsrl.cli", *args]
    environment = ENVIRONMENT | {"INTERRUPT": interrupt}
    with said.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=file, cwd=ROOT, env=environment)
    return done.returncode


def make_cluster(base: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Say which jobs of a cluster are interrupted when, and in which environment they run."""
    scontrol = base / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {base}/asked\n')
    scontrol.chmod(0o755)
    job = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "77"}
    job |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    job |= {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    array = job | {"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "3"}
    return [
        ("job", "batch 2 SIGUSR1 0", job),
        ("array", "validation 3 SIGUSR1 0", array),
        ("cancelled", "batch 2 SIGTERM 0", job),
    ]


def assert_same_run(whole: Path, resumed: Path) -> None:
    assert curves(resumed) == curves(whole)
    # Steps that were made again count once; how long they took differs.
    steps = [json.loads((run / "cost.json").read_text())["steps"] for run in (whole, resumed)]
    assert steps == [len(curves(whole)["train/loss"])] * 2
    for word in ("last", "best"):
        expected, found = weights(whole, word), weights(resumed, word)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    left = [path for path in resumed.rglob("*") if path.suffix in (".new", ".partial", ".lock")]
    assert left == []


@pytest.mark.parametrize("name", PLANS)
def test_the_same_command_again_ends_like_a_run_that_was_not_interrupted(
    runs: Runs, name: str
) -> None:
    base, statuses = runs
    whole, _, interruptions = PLANS[name]
    said = log(base / name).read_text()
    assert statuses[name] == [*([status] for _, status in interruptions), [0]], said
    assert_same_run(base / whole, base / name)
    assert "warning" not in said


def test_the_runs_have_what_is_compared(runs: Runs) -> None:
    base, _ = runs
    assert len(curves(base / "whole")["train/loss"]) == 12
    one, two = (curves(base / name)["train/loss"] for name in ("whole", "whole two"))
    assert one != two  # other draws would be noticed
    assert int(weights(base / "prediction")["scale.count"]) == 12 * 4


def test_a_finished_run_that_may_go_further_does(runs: Runs) -> None:
    base, statuses = runs
    assert statuses["extended"] == [[0], [0]]
    assert_same_run(base / "whole", base / "extended")


def test_what_an_interrupted_run_says(runs: Runs) -> None:
    base, _ = runs
    lines = log(base / "stopped").read_text().splitlines()
    further = f"with `wsrl fit --run {base / 'stopped'} --ckpt_path last`"
    assert [line for line in lines if line.startswith("wsrl")] == [
        *["wsrl: SIGTERM: stopped with nothing to save"] * 2,
        f"wsrl: SIGINT: stopped at step 3; go on {further}",
        f"wsrl: SIGTERM: stopped at step 6; go on {further}",
        f"wsrl: SIGUSR1: stopped at step 7; go on {further}",
        "wsrl fit: interrupted",
        f"wsrl: SIGTERM: stopped at step 12; go on from step 9 {further}",
    ]
    full = f"wsrl fit: error: [Errno 27] File too large: '{base / 'saved'}/checkpoints/last.new'"
    assert log(base / "saved").read_text().count(full) == 1


def test_two_processes_stop_together_and_go_on(runs: Runs) -> None:
    base, statuses = runs
    said = log(base / "two").read_text()
    # A signal to the second process; Ctrl-C to both, as torchrun starts them; the first is killed
    # while it writes a checkpoint, which the other one cannot go on without; then the rest.
    signalled, interrupted, (killed, left), ended = statuses["two"]
    assert (signalled, interrupted, ended) == ([143], [130, 130], [0, 0]), said
    assert (killed, left != 0) == (-9, True), said
    assert said.count("SIGTERM: stopped at step 5; go on with") == 1
    assert said.count("SIGINT: stopped at step 7; go on with") == 1
    assert statuses["whole two"] == [[0, 0]]
    assert_same_run(base / "whole two", base / "two")


def test_an_exception_in_one_of_two_processes_ends_both(zoo_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fails = [*EMULATION, *TWO_PROCESSES]
    args = fit(zoo_path, folder, fails, "--model.encoder.fails", "true")
    # Lightning kills all by its own means if it sees the failed process first.
    assert launch(args, log(folder), NEVER) in (70, -9)
    assert "this process fails" in log(folder).read_text()
    until(lambda: processes_of(folder) == [])
    assert not (folder / "checkpoints").exists()  # a half-made step is not kept


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose command line names a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder) in path.read_bytes().decode(errors="replace").split("\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_job_that_is_warned_of_its_end_is_queued_again(runs: Runs) -> None:
    base, statuses = runs
    ended = [statuses[name] for name in ("job", "array", "cancelled")]
    assert ended == [[[138]], [[138]], [[143]]]
    assert (base / "asked").read_text() == "requeue 77\nrequeue 70_3\n"
    assert [weights(base / name)["step"] for name in ("job", "array")] == [3, 3]


def test_a_job_is_queued_again_unless_its_trainer_says_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_requeued([])
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    assert is_requeued([])
    assert not is_requeued([SLURMEnvironment(auto_requeue=False)])
    assert not is_requeued([LightningEnvironment()])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    assert not is_requeued([])
    monkeypatch.setenv("PATH", str(tmp_path))  # without scontrol
    requeue()
    assert "queue the job yourself" in capsys.readouterr().err
