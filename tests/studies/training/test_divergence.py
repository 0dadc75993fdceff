"""Training whose loss is no longer finite ends with an error, and leaves what was good."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import torch
from lightning.pytorch import Callback

from wsrl.cli import main
from wsrl.torch_files import read_torch_file

ROOT = Path(__file__).parents[3]
HERE = "tests.studies.training.test_divergence"


class Spoil(Callback):
    """Spoils training: the weights after a step, or the outputs of a process's batch before it."""

    def __init__(self, step: int, rank: int = -1) -> None:
        self.step, self.rank = step, rank

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step + 1 == self.step and trainer.global_rank == self.rank:
            batch.outputs.fill_(float("nan"))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step and self.rank < 0:
            with torch.no_grad():
                next(pl_module.emulator.parameters()).fill_(float("nan"))


def fit(zoo: Path, run: Path, *options: str) -> list[str]:
    words = (
        "--model wsrl.EmulationModule --model.encoder LayerwiseStatistics --model.emulator_width 6 "
        "--model.clone_rnns 0 --model.figures false --data.batch_size 4 --data.steps_per_epoch 3 "
        "--trainer.max_steps 9 --trainer.accelerator cpu --trainer.enable_model_summary false "
        "--trainer.logger false"
    )
    return ["fit", "--run", str(run), "--data.zoo", str(zoo), *words.split(), *options]


def spoiled(step: int, **options: object) -> list[str]:
    given = ["--trainer.callbacks+", f"{HERE}.Spoil", "--trainer.callbacks.step", str(step)]
    return given + [w for n, v in options.items() for w in (f"--trainer.callbacks.{n}", str(v))]


def failed(capsys: pytest.CaptureFixture[str], args: list[str]) -> str:
    capsys.readouterr()
    assert main(args) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "best" not in captured.out
    error = captured.err.splitlines()[-1]
    assert error.startswith("wsrl ")
    return error


def test_a_learning_rate_that_is_too_high(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = fit(zoo_path, tmp_path / "run", "--model.learning_rate", "1e30")
    error = failed(capsys, args)
    assert "training diverged: the loss is not finite at step 2; " in error
    assert "lower --model.learning_rate" in error
    assert not (tmp_path / "run/checkpoints/best.ckpt").exists()
    assert main([*args, "--model.learning_rate", "1e-3", "--overwrite"]) == 0
    assert "best validation/total_variation: 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "options", "reason", "last"),
    [
        (7, [], "the loss is not finite at step 8", 6),
        (6, [], "validation/total_variation is nan after step 6", 3),
        (9, ["--trainer.limit_val_batches", "0"], "is not finite at step 9", 7),  # nothing reads it
    ],
)
def test_what_was_good_is_kept(
    step: int,
    options: list[str],
    reason: str,
    last: int,
    zoo_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = failed(capsys, fit(zoo_path, tmp_path / "run", *spoiled(step), *options))
    assert "training diverged: " in error
    assert reason in error
    kept = sorted((tmp_path / "run/checkpoints").glob("*.ckpt"))
    assert [path.stem for path in kept] == (["last"] if options else ["best", "last"])
    for path in kept:
        content = read_torch_file(path)
        assert content["global_step"] <= last
        assert all(bool(tensor.isfinite().all()) for tensor in content["state_dict"].values())
    assert content["global_step"] == last


def test_a_checkpoint_of_a_run_that_diverged(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(fit(zoo_path, run)) == 0
    path = run / "checkpoints/last.ckpt"
    content = read_torch_file(path)
    for tensor in content["state_dict"].values():
        tensor.fill_(float("nan"))
    torch.save(content, path)
    capsys.readouterr()
    assert main(["test", "--ckpt_path", str(path)]) == 0
    assert "not finite: validation/total_variation" in capsys.readouterr().err
    error = failed(capsys, ["fit", "--ckpt_path", str(path), "--trainer.max_steps", "12"])
    assert "the loss is not finite at step 10" in error
    prediction = ["--model", "wsrl.PredictionModule", "--model.target", "performance"]
    prediction += ["--model.pretrained", str(path), "--data.zoo", str(zoo_path)]
    error = failed(capsys, ["fit", "--run", str(tmp_path / "p"), *prediction])
    assert f"the encoder in {path} cannot be rebuilt" in error
    assert "not finite" in error
    error = failed(capsys, ["predict", "--ckpt_path", str(path)])
    assert f"{path} gives no finite embedding" in error


def test_all_processes_end_together(zoo_path: Path, tmp_path: Path) -> None:
    """Of two processes one has outputs that are not numbers."""
    args = fit(zoo_path, tmp_path / "run", *spoiled(5, rank=1))
    args += ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "wsrl.cli", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("wsrl fit: error: ")]
    assert len(errors) == 1
    assert "the loss is not finite at step 5" in errors[0]
    assert "Traceback" not in done.stderr
    assert read_torch_file(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 3
