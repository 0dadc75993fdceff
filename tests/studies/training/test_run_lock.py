"""A run is one command's at a time, and one run from its beginning to its end."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest

from tests.studies.training.interruptions import (
    EMULATION,
    NEVER,
    carry_out,
    curves,
    fit,
    log,
    weights,
)
from tests.zoos.building import FORK
from wsrl.cli import main
from wsrl.studies.training.run_lock import own_run
from wsrl.studies.training.runs import Run


def hold(folder: Path, said: Connection) -> None:
    """Have a run's folder until this process is killed."""
    with own_run(Run(folder), goes_on=True, auto=False, overwrite=False):
        said.send("held")
        said.recv()


def refused(capsys: pytest.CaptureFixture[str], args: list[str]) -> str:
    assert main(args) == 1
    return capsys.readouterr().err


@pytest.fixture
def run(zoo_path: Path, tmp_path: Path) -> Path:
    assert main(fit(zoo_path, tmp_path / "run", EMULATION, "--trainer.max_steps", "2")) == 0
    return tmp_path / "run"


def test_a_run_that_is_being_trained_is_refused_until_its_process_is_gone(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights(run)
    heard, said = FORK.Pipe()
    holder = FORK.Process(target=hold, args=(run, said), daemon=True)
    holder.start()
    try:
        assert heard.recv() == "held"
        further = fit(zoo_path, run, EMULATION, "--trainer.max_steps", "4")
        message = refused(capsys, further)
        assert f"process {holder.pid} on " in message
        assert f"trains in {run} right now" in message
        anew = [word for word in further if word not in ("--ckpt_path", "auto")]
        assert "right now" in refused(capsys, [*anew, "--overwrite"])
        assert weights(run).keys() == before.keys()
        assert weights(run)["step"] == 2
    finally:
        holder.kill()
        holder.join()
    assert main(further) == 0  # what a killed process left holds nobody up
    assert weights(run)["step"] == 4
    assert not (run / "fit.lock").exists()


def test_a_run_that_was_not_begun_leaves_no_folder(tmp_path: Path) -> None:
    with own_run(Run(tmp_path / "a" / "run"), goes_on=False, auto=False, overwrite=False):
        assert (tmp_path / "a" / "run" / "fit.lock").exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"'.*/file/run'"),
        own_run(Run(tmp_path / "file" / "run"), goes_on=False, auto=False, overwrite=False),
    ):
        pass


def test_auto_goes_on_with_the_run_it_began_alone(
    zoo_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ["--data.split_seed", "7", "--seed_everything", "5", "--trainer.max_steps", "4"]
    message = refused(capsys, fit(zoo_path, run, EMULATION, *others))
    assert "data.split_seed: 7 given, 1 in the checkpoint" in message
    assert "seed_everything: 5 given, 0 in the checkpoint" in message
    assert "data.batch_size" not in message
    assert weights(run)["step"] == 2
    assert main(fit(zoo_path, run, EMULATION, *others, "--ckpt_path", "last")) == 0
    assert weights(run)["step"] == 4


@pytest.mark.parametrize("path", ["auto", "last"])
def test_what_is_gone_on_with_is_not_deleted(
    zoo_path: Path, run: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, fit(zoo_path, run, EMULATION, "--ckpt_path", path, "--overwrite"))
    assert "leave one of them out" in message
    assert weights(run)["step"] == 2


def test_curves_outlast_a_while_without_a_logger(zoo_path: Path, run: Path) -> None:
    for steps, logger in (("4", "false"), ("6", "true")):
        options = ["--trainer.max_steps", steps, "--trainer.logger", logger]
        assert main(fit(zoo_path, run, EMULATION, *options)) == 0
    assert [step for step, _ in curves(run)["train/loss"]] == [0, 1, 4, 5]


def test_processes_that_see_different_runs_do_not_begin(zoo_path: Path, tmp_path: Path) -> None:
    args = fit(zoo_path, Path("run"), EMULATION, "--trainer.max_steps", "3")
    two = [*args, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    folders = [str(tmp_path / name) for name in ("first", "second")]
    for folder in folders:
        Path(folder).mkdir()
    common = {"interrupt": NEVER, "log": str(log(tmp_path))}
    began, failed = carry_out(
        [
            {"args": args, "folders": folders, **common},
            {"args": two, "folders": folders, "processes": 2, **common},
        ]
    )
    assert began == [0]
    assert 0 not in failed
    assert "the processes do not see the same run" in log(tmp_path).read_text()
