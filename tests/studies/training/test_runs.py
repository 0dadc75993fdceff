"""A run is one command's at a time, from its beginning to its end; what its folder may hold."""

import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest

from tests.studies.training.interruptions import (
    EMULATION,
    ENVIRONMENT,
    NEVER,
    ROOT,
    SHORT,
    carry_out,
    curves,
    fit,
    log,
    weights,
)
from tests.zoos.building import FORK
from wsrl.cli import main
from wsrl.studies.training.runs import Run
from wsrl.zoos.files import partial_file

LONGER = [*SHORT, "--trainer.max_steps", "8"]
KILLED = """
import os, signal, sys
from wsrl.cli import main
import tests.studies.training.interruptions

sync = os.fsync
def kill(handle):
    name = os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))
    if name.startswith(sys.argv[1]) and name.endswith(".partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = kill
main(sys.argv[2:])
"""


def refused(capsys: pytest.CaptureFixture[str], args: list[str]) -> str:
    capsys.readouterr()
    assert main(args) == 1
    return capsys.readouterr().err


def hold(folder: Path, said: Connection) -> None:
    """Have a run's folder until this process is killed."""
    with Run(folder).owned(goes_on=True):
        said.send("held")
        said.recv()


def test_a_run_that_is_being_trained_is_refused_until_its_process_is_gone(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard, said = FORK.Pipe()
    holder = FORK.Process(target=hold, args=(run, said), daemon=True)
    holder.start()
    further = fit(zoo_path, run, LONGER)
    try:
        assert heard.recv() == "held"
        message = refused(capsys, further)
        assert f"process {holder.pid} on " in message
        assert f"trains in {run} right now" in message
        anew = [word for word in further if word not in ("--ckpt_path", "auto")]
        assert "right now" in refused(capsys, [*anew, "--overwrite"])
        assert weights(run)["step"] == 6
    finally:
        holder.kill()
        holder.join()
    assert main(further) == 0  # what a killed process left holds nobody up
    assert weights(run)["step"] == 8
    assert not (run / "fit.lock").exists()


def test_auto_goes_on_with_the_run_it_began_alone(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [*LONGER, "--data.split_seed", "7", "--seed_everything", "5"]
    message = refused(capsys, fit(zoo_path, run, others))
    assert "data.split_seed: 7 given, 1 in the checkpoint" in message
    assert "seed_everything: 5 given, 0 in the checkpoint" in message
    assert "data.batch_size" not in message
    for word in ("auto", "last"):  # what is gone on with is not deleted
        message = refused(capsys, fit(zoo_path, run, LONGER, "--ckpt_path", word, "--overwrite"))
        assert "leave one of them out" in message
    assert weights(run)["step"] == 6
    assert main(fit(zoo_path, run, others, "--ckpt_path", "last")) == 0
    assert weights(run)["step"] == 8


def test_a_config_that_is_a_pipe_is_refused_unread(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").unlink()
    os.mkfifo(run / "config.yaml")
    words = ["fit", "--run", str(run), "--ckpt_path", "last", "--data.zoo", str(zoo_path)]
    assert "config.yaml is no config: no regular file" in refused(capsys, words)


def test_auto_leaves_other_runs_and_other_files_alone(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("colour: red\n")  # not of a run
    assert "holds a run already" in refused(capsys, fit(zoo_path, tmp_path, EMULATION))
    test = ["test", "--run", str(tmp_path), "--ckpt_path", "auto"]
    assert "say which to test: best or last" in refused(capsys, test)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_curves_outlast_a_while_without_a_logger(zoo_path: Path, run: Path) -> None:
    for steps, logger in (("8", "false"), ("10", "true")):
        options = ["--trainer.max_steps", steps, "--trainer.logger", logger]
        assert main(fit(zoo_path, run, SHORT, *options)) == 0
    assert [step for step, _ in curves(run)["train/loss"]] == [0, 1, 2, 3, 4, 5, 8, 9]


def test_processes_that_see_different_runs_do_not_begin(zoo_path: Path, tmp_path: Path) -> None:
    args = fit(zoo_path, Path("run"), SHORT)
    two = [*args, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    folders = [str(tmp_path / name) for name in ("first", "second")]
    for folder in folders:
        Path(folder).mkdir()
    common = {"interrupt": NEVER, "log": str(log(tmp_path)), "folders": folders}
    began, failed = carry_out([{"args": args, **common}, {"args": two, "processes": 2, **common}])
    assert began == [0]
    assert 0 not in failed
    assert "the processes do not see the same run" in log(tmp_path).read_text()


def test_a_test_that_is_killed_leaves_nothing_wrong(run: Path) -> None:
    words = ["--run", str(run), "--ckpt_path"]
    assert main(["test", *words, "last"]) == 0
    before = (run / "test.safetensors").read_bytes()
    command = [sys.executable, "-c", KILLED, "test.json", "test", *words, "best"]
    assert subprocess.run(command, cwd=ROOT, env=ENVIRONMENT).returncode == -signal.SIGKILL
    assert (run / "test.safetensors").read_bytes() != before
    assert not (run / "test.json").exists()  # no metrics of another test
    (left,) = run.glob("*.partial")
    with partial_file(run / "test.json") as (written, _):
        assert main(["validate", *words, "best"]) == 0
        assert written.exists()  # another process's
    assert not left.exists()


def test_a_finished_run_does_nothing_again(run: Path, zoo_path: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime_ns
    assert main(fit(zoo_path, run, SHORT)) == 0
    assert last.stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_an_error_that_names_it(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[: len(whole) // 2], b""):
        last.write_bytes(content)
        said = refused(capsys, fit(zoo_path, run, SHORT))
        assert f"wsrl fit: error: {last} cannot be read as a checkpoint: it is damaged" in said
        assert last.read_bytes() == content


@pytest.mark.parametrize(("option", "value"), [("devices", "many"), ("num_nodes", "0")])
def test_processes_that_no_machine_has_are_refused_in_one_line(
    option: str, value: str, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = fit(zoo_path, tmp_path / "run", EMULATION, f"--trainer.{option}", value)
    error = refused(capsys, args).splitlines()[-1]
    assert error.startswith("wsrl fit: error: ")
    assert option in error
    assert list(tmp_path.iterdir()) == []
