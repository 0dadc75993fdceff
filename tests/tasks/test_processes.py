"""Two processes give the answer of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import wsrl  # noqa: F401 first: it lets Lightning be imported beside a CPU torch
from tests.tasks.conftest import SMALL_ENCODER, small_emulation, small_trainer
from wsrl.data import ZooDataModule
from wsrl.tasks import EmulationModule, PredictionModule

ROOT = Path(__file__).parents[2]


def fitted(zoo: str, folder: str, processes: int) -> list[dict[str, float]]:
    """Train an emulation and a prediction; return what was measured in the end."""
    measured = []
    for kind in ("emulation", "prediction"):
        data = ZooDataModule(zoo, batch_size=8, steps_per_epoch=3, eval_batch_size=5)
        torch.manual_seed(0)
        module: EmulationModule | PredictionModule
        if kind == "emulation":
            # Clones are left out: which ones a validation scores depends on the batches.
            module = small_emulation(data, clone_rnns=0, learning_rate=1e-2)
        else:
            module = PredictionModule(
                "performance", data.targets, data.spec, SMALL_ENCODER, mode="scratch"
            )
        strategy = "ddp" if processes > 1 else "auto"
        trainer = small_trainer(Path(folder), devices=processes, strategy=strategy)
        trainer.fit(module, datamodule=data)
        # The training loss is that of a process's own share; what an RNN is shuffled with depends
        # on the batches.
        kept = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name != "train/loss" and "shuffled" not in name
        }
        measured.append(kept)
        if processes > 1 and trainer.is_global_zero:
            (Path(folder) / "measured.json").write_text(json.dumps(measured))
    return measured


def test_two_processes_train_and_measure_like_one(zoo_path: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.tasks.test_processes", zoo_path, tmp_path],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        timeout=240,
    )
    two = json.loads((tmp_path / "measured.json").read_text())
    one = fitted(str(zoo_path), str(tmp_path), 1)
    assert len(one) == len(two) == 2
    for expected, found in zip(one, two, strict=True):
        assert len(expected) >= 4
        assert found == pytest.approx(expected, abs=1e-4)


if __name__ == "__main__":
    fitted(sys.argv[1], sys.argv[2], 2)
