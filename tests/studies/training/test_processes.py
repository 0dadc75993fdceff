"""How many processes a run may have, and whose job is queued again."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from wsrl.cli import main
from wsrl.studies.training.processes import is_requeued, requeue


@pytest.mark.parametrize(
    ("option", "value"),
    [("devices", "many"), ("devices", "0"), ("devices", "-3"), ("num_nodes", "0")],
)
def test_processes_that_no_machine_has_are_refused_in_one_line(
    option: str, value: str, zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["fit", "--run", str(tmp_path / "run"), "--data.zoo", str(zoo_path)]
    args += ["--model", "EmulationModule", "--model.encoder", "LayerwiseStatistics"]
    args += ["--trainer.accelerator", "cpu", f"--trainer.{option}", value]
    assert main(args) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("wsrl fit: error: ")
    assert option in error
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_queued_again_unless_its_trainer_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_requeued([])
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    assert is_requeued([])
    assert not is_requeued([SLURMEnvironment(auto_requeue=False)])
    assert not is_requeued([LightningEnvironment()])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    assert not is_requeued([])


def test_a_job_without_a_number_cannot_be_queued_again_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    requeue()
    assert "queue the job yourself" in capsys.readouterr().err
