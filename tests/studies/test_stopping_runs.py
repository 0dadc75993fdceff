"""Training that is stopped, killed or out of disk, and goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.studies.interruptions import ROOT, curves, weights

DRAWING = "tests.studies.interruptions.Drawing"
PLACES = "tests.studies.interruptions"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
EMULATION = ["--model", "wsrl.EmulationModule", "--model.clone_rnns", "2"]
EMULATION += ["--model.clone_sequences", "2", "--model.emulator_width", "6"]
EMULATION += ["--model.emulator_layers", "1", "--model.figures", "false"]
PREDICTION = ["--model", "wsrl.PredictionModule", "--model.target", "performance"]
PREDICTION += ["--model.mode", "scratch"]
AT_ALL_STEPS = ["--checkpoint_minutes", "0"]

INTERRUPTIONS = {
    # name: when, after which status, further options
    "sanity": ("sanity 0 SIGTERM 0", 143, []),
    "first": ("start 0 SIGTERM 0", 143, []),
    "step": ("backward 4 SIGINT 0", 130, []),
    "epoch": ("epoch 6 SIGUSR1 0", 138, []),
    "validation": ("validation 6 SIGTERM 0", 143, []),
    "end": ("validation 12 SIGTERM 0", 143, []),
    "saving": ("write 4 SIGTERM 0", 143, AT_ALL_STEPS),
    "twice": ("batch 5 TWICE 0", 130, []),
    "kill-early": ("batch 2 SIGKILL 0", -9, []),
    "kill-step": ("batch_end 5 SIGKILL 0", -9, AT_ALL_STEPS),
    "kill-validation": ("validation 6 SIGKILL 0", -9, []),
    "kill-write": ("write 6 SIGKILL 0", -9, AT_ALL_STEPS),
    "full": ("write 6 LIMIT 0", 1, AT_ALL_STEPS),
}


def fit(zoo: Path, folder: Path, model: list[str], *options: str) -> list[str]:
    return [
        *("fit", "--run", str(folder), "--data.zoo", str(zoo), *model, "--model.encoder", DRAWING),
        *("--data.batch_size", "4", "--data.steps_per_epoch", "6", "--data.eval_batch_size", "7"),
        *("--trainer.val_check_interval", "3", "--trainer.limit_val_batches", "2"),
        *("--trainer.max_steps", "12", "--trainer.log_every_n_steps", "1"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_model_summary", "false"),
        *("--trainer.callbacks", f"{PLACES}.Interrupt", "--ckpt_path", "auto", *options),
    ]


def two_processes(*options: str) -> list[str]:
    return ["--trainer.devices", "2", "--trainer.strategy", "ddp", *options]


def carry_out(runs: list[dict[str, Any]]) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, "-m", PLACES],
        input=json.dumps(runs),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        timeout=280,
        start_new_session=True,  # GROUP is for these processes only
    )
    statuses: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return statuses


def log(folder: Path) -> Path:
    return folder.with_suffix(".log")


@pytest.fixture(scope="module")
def runs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An uninterrupted run, and those of every interruption, each followed by the same command."""
    base = tmp_path_factory.mktemp("interrupted")
    wanted = []

    def add(name: str, model: list[str], interrupt: str, *options: str, **more: Any) -> None:
        args = fit(zoo_path, base / name, model, *options)
        wanted.append(
            {"args": args, "interrupt": interrupt, "log": str(log(base / name)), "name": name}
            | more
        )

    add("whole", EMULATION, "no 0 0 0")
    for name, (interrupt, _, options) in INTERRUPTIONS.items():
        add(name, EMULATION, interrupt, *options)
        add(name, EMULATION, "no 0 0 0", *options)
    add("predicted", PREDICTION, "no 0 0 0")
    add("prediction", PREDICTION, "batch 4 SIGTERM 0")
    add("prediction", PREDICTION, "no 0 0 0")
    two: dict[str, Any] = {"processes": 2}
    add("whole-two", EMULATION, "no 0 0 0", *two_processes(), **two)
    add("group", EMULATION, "validation 6 GROUP 1", *two_processes(), **two)
    add("group", EMULATION, "no 0 0 0", *two_processes(), **two)
    statuses: dict[str, Any] = {}
    for run, ended in zip(wanted, carry_out(wanted), strict=True):
        statuses.setdefault(run["name"], []).append(ended)
    return base, statuses


def assert_same_run(whole: Path, resumed: Path) -> None:
    assert len(curves(whole)["train/loss"]) == 12
    assert curves(resumed) == curves(whole)
    for word in ("last", "best"):
        expected, found = weights(whole, word), weights(resumed, word)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    assert not list((resumed / "checkpoints").glob("*.partial"))


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_the_same_command_again_ends_like_a_run_that_was_not_interrupted(
    runs: tuple[Path, dict[str, Any]], name: str
) -> None:
    base, statuses = runs
    assert statuses["whole"] == [[0]]
    assert statuses[name] == [[INTERRUPTIONS[name][1]], [0]], log(base / name).read_text()
    assert_same_run(base / "whole", base / name)


def test_what_a_stopped_run_says(runs: tuple[Path, dict[str, Any]]) -> None:
    base, _ = runs
    again = f"go on with `wsrl fit --run {base / 'step'} --ckpt_path last`"
    assert f"wsrl: SIGINT: stopped at step 5; {again}\n" in log(base / "step").read_text()
    assert "SIGTERM: stopped at step 6" in log(base / "validation").read_text()  # not after it
    assert "SIGTERM: stopped at step 12" in log(base / "end").read_text()
    assert "SIGTERM: stopped with nothing to save\n" in log(base / "sanity").read_text()
    assert "wsrl fit: interrupted\n" in log(base / "twice").read_text()
    full = f"wsrl fit: error: [Errno 27] File too large: '{base / 'full'}/checkpoints/"
    assert log(base / "full").read_text().count(full) == 1


def test_a_prediction_goes_on_as_well(runs: tuple[Path, dict[str, Any]]) -> None:
    base, statuses = runs
    assert (statuses["predicted"], statuses["prediction"]) == ([[0]], [[143], [0]])
    assert_same_run(base / "predicted", base / "prediction")
    assert int(weights(base / "prediction")["scale.count"]) == 12 * 4


def test_ctrl_c_to_two_processes_in_a_validation(runs: tuple[Path, dict[str, Any]]) -> None:
    base, statuses = runs
    assert statuses["whole-two"] == [[0, 0]], log(base / "whole-two").read_text()
    # Started from outside, as by torchrun, each tells how it ended.
    assert statuses["group"] == [[130, 130], [0, 0]], log(base / "group").read_text()
    assert "SIGINT: stopped at step 6" in log(base / "group").read_text()
    assert_same_run(base / "whole-two", base / "group")


def test_other_draws_would_be_noticed(runs: tuple[Path, dict[str, Any]]) -> None:
    base, _ = runs
    one, two = (curves(base / name)["train/loss"] for name in ("whole", "whole-two"))
    assert one != two


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


@pytest.mark.parametrize(
    ("interrupt", "option", "status", "message"),
    [
        ("backward 4 SIGTERM 1", "false", 143, "SIGTERM: stopped at step 5; go on with"),
        ("no 0 0 0", "true", 1, "this process fails"),
    ],
    ids=["signal", "exception"],
)
def test_what_happens_to_one_of_two_processes_ends_both(
    zoo_path: Path,
    runs: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    interrupt: str,
    option: str,
    status: int,
    message: str,
) -> None:
    folder = tmp_path / "run"
    args = fit(zoo_path, folder, EMULATION, *two_processes("--model.encoder.fails", option))
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "wsrl.cli", *args],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT | {"INTERRUPT": interrupt},
        timeout=120,
    )
    assert time.monotonic() - start < 90
    # Lightning kills all by its own means if it sees the failed process first.
    assert done.returncode == status or (status == 1 and done.returncode == -9)
    assert message in done.stderr
    assert processes_of(folder) == []
    if status == 143:
        assert done.stderr.count("stopped at step") == 1
        base, _ = runs
        again = {"args": args, "interrupt": "no 0 0 0", "log": str(log(folder)), "processes": 2}
        assert carry_out([again]) == [[0, 0]]
        assert_same_run(base / "whole-two", folder)
    else:
        assert not (folder / "checkpoints").exists()  # a half-made step is not kept


def test_a_cluster_and_a_disk_that_refuse(
    zoo_path: Path, runs: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "77"}
    slurm |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    slurm |= {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    array = slurm | {"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "3"}
    wanted = [("job", "batch 2 SIGUSR1 0", slurm), ("array", "validation 3 SIGUSR1 0", array)]
    wanted += [("ended", "batch 2 SIGTERM 0", slurm)]
    runs_there = [
        {"args": fit(zoo_path, tmp_path / name, EMULATION), "interrupt": interrupt}
        | {"log": str(log(tmp_path / name)), "environment": environment}
        for name, interrupt, environment in wanted
    ]
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    runs_there.append(
        {"args": fit(zoo_path, shut / "run", EMULATION), "interrupt": "no 0 0 0"}
        | {"log": str(tmp_path / "shut.log"), "unprivileged": True}
    )
    damaged = shutil.copytree(runs[0] / "whole", tmp_path / "damaged")
    last = damaged / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    runs_there.append(
        {"args": fit(zoo_path, damaged, EMULATION), "interrupt": "no 0 0 0"}
        | {"log": str(log(damaged))}
    )
    assert carry_out(runs_there) == [[138], [138], [143], [1], [1]]
    assert (tmp_path / "asked").read_text() == "requeue 77\nrequeue 70_3\n"  # and not for the end
    said = (tmp_path / "shut.log").read_text()
    assert said.count("wsrl fit: error: [Errno 13] ") == 1
    assert f"{shut}/run" in said
    said = log(damaged).read_text()
    assert f"{last} cannot be read as a checkpoint; {last.with_name('best.ckpt')} is there" in said
