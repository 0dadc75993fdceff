"""Training that is stopped, killed or out of disk, and goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.studies.training.interruptions import ROOT, curves, weights
from tests.waiting import until
from wsrl.cli import main

DRAWING = "tests.studies.training.interruptions.Drawing"
PLACES = "tests.studies.training.interruptions"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
EMULATION = ["--model", "wsrl.EmulationModule", "--model.clone_rnns", "2"]
EMULATION += ["--model.clone_sequences", "2", "--model.emulator_width", "6"]
EMULATION += ["--model.emulator_layers", "1", "--model.figures", "false"]
TWO_PROCESSES = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
PREDICTION = ["--model", "wsrl.PredictionModule", "--model.target", "performance"]
PREDICTION += ["--model.mode", "scratch"]
INTERRUPTIONS = {
    # Each run is interrupted again and again: when, and with which exit status.
    "stopped": [
        ("sanity 0 SIGTERM 0", 143),
        ("start 0 SIGTERM 0", 143),
        ("backward 2 SIGINT 0", 130),
        ("validation 6 SIGTERM 0", 143),
        ("epoch 6 SIGUSR1 0", 138),
        ("batch 7 TWICE 0", 130),
        ("validation 12 SIGTERM 0", 143),
    ],
    "killed": [
        ("batch 2 SIGKILL 0", -9),  # before there is any checkpoint
        ("validation 6 SIGKILL 0", -9),
        ("validated 6 SIGKILL 0", -9),
        ("write 2 SIGKILL 0", -9),
        ("validation 12 SIGKILL 0", -9),
    ],
    "saved": [  # with a checkpoint at every step
        ("write 4 SIGTERM 0", 143),  # while one is written
        ("batch_end 5 SIGKILL 0", -9),
        ("write 3 SIGKILL 0", -9),
        ("write 3 LIMIT 0", 1),
    ],
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


def carry_out(runs: list[dict[str, Any]]) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, "-m", PLACES],
        input=json.dumps(runs),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        start_new_session=True,  # GROUP is for these processes only
    )
    statuses: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return statuses


def log(folder: Path) -> Path:
    return folder.with_suffix(".log")


@pytest.fixture(scope="module")
def runs(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Uninterrupted runs, interrupted ones with all that followed, and how each ended."""
    base = tmp_path_factory.mktemp("runs")
    wanted: list[dict[str, Any]] = []

    def add(name: str, args: list[str], interrupt: str = "no 0 0 0", **more: Any) -> None:
        known = {"name": name, "args": args, "interrupt": interrupt, "log": str(log(base / name))}
        wanted.append(known | more)

    add("whole", fit(zoo_path, base / "whole", EMULATION))
    for name, interruptions in INTERRUPTIONS.items():
        minutes = "0" if name == "saved" else "10"
        args = fit(zoo_path, base / name, EMULATION, "--checkpoint_minutes", minutes)
        for interrupt, _ in interruptions:
            add(name, args, interrupt)
        add(name, args)
    for steps in ("4", "12"):
        args = fit(zoo_path, base / "extended", EMULATION, "--trainer.max_steps", steps)
        add("extended", args)
    add("predicted", fit(zoo_path, base / "predicted", PREDICTION))
    add("prediction", fit(zoo_path, base / "prediction", PREDICTION), "batch 4 SIGTERM 0")
    add("prediction", fit(zoo_path, base / "prediction", PREDICTION))

    launched = fit(zoo_path, base / "launched", EMULATION, *TWO_PROCESSES)
    ended = launch(launched, log(base / "launched"), "backward 4 SIGTERM 1")
    add("whole-two", fit(zoo_path, base / "whole-two", EMULATION, *TWO_PROCESSES), processes=2)
    add("launched", launched, "backward 6 GROUP 1", processes=2)
    add("launched", launched, "write 2 SIGKILL 0", processes=2)
    add("launched", launched, processes=2)
    for name, interrupt, environment in make_cluster(base):
        args = fit(zoo_path, base / name, EMULATION)
        add(name, args, interrupt, environment=environment)
    (base / "shut").mkdir(mode=0o500)
    add("shut", fit(zoo_path, base / "shut" / "run", EMULATION), unprivileged=True)

    statuses: dict[str, Any] = {"launched": [[ended]]}
    for run, status in zip(wanted, carry_out(wanted), strict=True):
        statuses.setdefault(run["name"], []).append(status)
    return base, statuses


def launch(args: list[str], said: Path, interrupt: str) -> int:
    """Run the command as a user does; with two processes, Lightning starts the second one."""
    with said.open("w") as stderr:
        done = subprocess.run(
            [sys.executable, "-m", "wsrl.cli", *args],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=ROOT,
            env=ENVIRONMENT | {"INTERRUPT": interrupt},
        )
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
    assert len(curves(whole)["train/loss"]) == 12
    assert curves(resumed) == curves(whole)
    # Steps that were made again count once; how long they took differs.
    assert json.loads((resumed / "cost.json").read_text())["steps"] == 12
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
    expected = [[status] for _, status in INTERRUPTIONS[name]]
    assert statuses[name] == [*expected, [0]], log(base / name).read_text()
    assert_same_run(base / "whole", base / name)


def test_a_finished_run_that_may_go_further_does(runs: tuple[Path, dict[str, Any]]) -> None:
    base, statuses = runs
    assert statuses["extended"] == [[0], [0]]
    assert_same_run(base / "whole", base / "extended")


def test_what_an_interrupted_run_says(runs: tuple[Path, dict[str, Any]]) -> None:
    base, _ = runs
    lines = log(base / "stopped").read_text().splitlines()
    further = f"go on with `wsrl fit --run {base / 'stopped'} --ckpt_path last`"
    assert [line for line in lines if line.startswith("wsrl")] == [
        *["wsrl: SIGTERM: stopped with nothing to save"] * 2,
        f"wsrl: SIGINT: stopped at step 3; {further}",
        f"wsrl: SIGTERM: stopped at step 6; {further}",
        f"wsrl: SIGUSR1: stopped at step 7; {further}",
        "wsrl fit: interrupted",
        f"wsrl: SIGTERM: stopped at step 12; {further.replace('on', 'on from step 9', 1)}",
    ]
    full = f"wsrl fit: error: [Errno 27] File too large: '{base / 'saved'}/checkpoints/last.ckpt'"
    assert log(base / "saved").read_text().count(full) == 1


def test_a_prediction_goes_on_as_well(runs: tuple[Path, dict[str, Any]]) -> None:
    base, statuses = runs
    assert (statuses["predicted"], statuses["prediction"]) == ([[0]], [[143], [0]])
    assert_same_run(base / "predicted", base / "prediction")
    assert int(weights(base / "prediction")["scale.count"]) == 12 * 4


def test_two_processes_stop_together_and_go_on(runs: tuple[Path, dict[str, Any]]) -> None:
    base, statuses = runs
    said = log(base / "launched").read_text()
    # A signal to the second process; Ctrl-C to both, as torchrun starts them; the first is killed
    # while it writes a checkpoint, which the other one cannot go on without; then the rest.
    signalled, interrupted, (killed, left), ended = statuses["launched"]
    assert (signalled, interrupted, ended) == ([143], [130, 130], [0, 0]), said
    assert (killed, left != 0) == (-9, True), said
    assert said.count("SIGTERM: stopped at step 5; go on with") == 1
    assert said.count("SIGINT: stopped at step 7; go on with") == 1
    assert statuses["whole-two"] == [[0, 0]]
    assert_same_run(base / "whole-two", base / "launched")


def test_other_draws_would_be_noticed(runs: tuple[Path, dict[str, Any]]) -> None:
    base, _ = runs
    one, two = (curves(base / name)["train/loss"] for name in ("whole", "whole-two"))
    assert one != two


def test_an_exception_in_one_of_two_processes_ends_both(zoo_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    args = fit(zoo_path, folder, EMULATION, *TWO_PROCESSES, "--model.encoder.fails", "true")
    # Lightning kills all by its own means if it sees the failed process first.
    assert launch(args, log(folder), "no 0 0 0") in (70, -9)
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


def test_a_job_that_is_warned_of_its_end_is_queued_again(
    runs: tuple[Path, dict[str, Any]],
) -> None:
    base, statuses = runs
    ended = [statuses[name] for name in ("job", "array", "cancelled")]
    assert ended == [[[138]], [[138]], [[143]]]
    assert (base / "asked").read_text() == "requeue 77\nrequeue 70_3\n"
    assert [weights(base / name)["step"] for name in ("job", "array")] == [3, 3]


def test_a_folder_that_cannot_be_written_is_an_error_at_once(
    runs: tuple[Path, dict[str, Any]],
) -> None:
    base, statuses = runs
    assert statuses["shut"] == [[1]]
    said = log(base / "shut").read_text()
    assert said.count("wsrl fit: error: [Errno 13] ") == 1
    assert f"'{base}/shut/run'" in said


def test_a_damaged_checkpoint_is_an_error_that_names_another(
    zoo_path: Path,
    runs: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(runs[0] / "whole", tmp_path / "run")
    last = folder / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[: len(whole) // 2], b""):
        last.write_bytes(content)
        assert main(fit(zoo_path, folder, EMULATION)) == 1
        said = capsys.readouterr().err
        assert f"wsrl fit: error: {last} cannot be read as a checkpoint: it is damaged" in said
        assert f"; {last.with_name('best.ckpt')} is there as well (--ckpt_path best)\n" in said
        assert last.read_bytes() == content


def test_auto_leaves_other_runs_and_other_files_alone(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("colour: red\n")  # not of a run
    assert main(fit(zoo_path, tmp_path, EMULATION)) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert main(["test", "--run", str(tmp_path), "--ckpt_path", "auto"]) == 1
    assert "say which to test: best or last" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
