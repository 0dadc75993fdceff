"""What is in a run's folder: what killed commands left, damaged checkpoints, other runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest

from tests.studies.training.interruptions import EMULATION, ENVIRONMENT, ROOT, fit
from wsrl.cli import main
from wsrl.studies.training.runs import Run
from wsrl.zoos.files import partial_file

SHORT = [*EMULATION, "--trainer.max_steps", "3"]
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


@pytest.fixture(scope="module")
def finished(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    assert main(fit(zoo_path, run, SHORT)) == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def kill_while_writing(name: str, words: list[str]) -> None:
    """Run a command that is killed when it has written a file of this name, but not all is done."""
    command = [sys.executable, "-c", KILLED, name, *words]
    killed = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL


def test_a_test_that_is_killed_leaves_nothing_wrong(run: Path) -> None:
    words = ["--run", str(run), "--ckpt_path"]
    assert main(["test", *words, "last"]) == 0
    before = (run / "test.safetensors").read_bytes()
    kill_while_writing("test.json", ["test", *words, "best"])
    assert (run / "test.safetensors").read_bytes() != before
    assert not (run / "test.json").exists()  # no metrics of another test
    (left,) = run.glob("*.partial")
    assert main(["validate", *words, "best"]) == 0
    assert not left.exists()


def test_what_another_process_is_writing_stays(run: Path) -> None:
    with partial_file(run / "test.json") as (partial, _):
        Run(run).remove_leftovers()
        assert partial.exists()


def test_a_finished_run_does_nothing_again(run: Path, zoo_path: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime_ns
    assert main(fit(zoo_path, run, SHORT)) == 0
    assert last.stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_an_error_that_names_another(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[: len(whole) // 2], b""):
        last.write_bytes(content)
        assert main(fit(zoo_path, run, SHORT)) == 1
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
