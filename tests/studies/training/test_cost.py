"""What training costs is what its steps take: nothing else, and nothing twice."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tests.tasks.conftest import small_trainer
from wsrl.studies.training.cost import TrainingCost

STEP, READ, VALIDATE, SAVE = 1.0, 0.25, 100.0, 1000.0


class Clock:
    now = 0.0


class Data(Dataset[Tensor]):
    """Twelve batches, each of which takes a while to read."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        Clock.now += READ
        return torch.ones(2)


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 3), nn.Linear(3, 1)
        self.encoder.requires_grad_(False)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        Clock.now += STEP
        loss: Tensor = self.head(self.encoder(batch)).mean()
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        Clock.now += VALIDATE

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.head.parameters(), 0.1)


class Saves(Callback):
    """Saves when a step begins, before its cost is measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(self, trainer: Any, *rest: Any) -> None:
        if trainer.global_step in (5, 8):
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")
            Clock.now += SAVE


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", 0.0)
    fake = SimpleNamespace(perf_counter=lambda: Clock.now)
    monkeypatch.setattr("wsrl.studies.training.cost.time", fake)


def train(folder: Path, steps: int, checkpoint: Path | None = None, **options: Any) -> Any:
    """Train, and return what it cost."""
    cost, module = TrainingCost(), Module()
    options |= {"max_epochs": -1, "max_steps": steps, "callbacks": [Saves(folder), cost]}
    small_trainer(folder, **options).fit(
        module, DataLoader(Data()), DataLoader([torch.ones(2)]), ckpt_path=checkpoint
    )
    cost.write(folder / "cost.json", module)
    return json.loads((folder / "cost.json").read_text())


def test_validations_and_checkpoints_are_left_out_and_reading_data_is_not(tmp_path: Path) -> None:
    cost = train(tmp_path, 12, val_check_interval=3)
    assert Clock.now > 4 * VALIDATE + 2 * SAVE
    assert 12 * STEP < cost["seconds"] <= 12 * (STEP + READ)
    assert cost["steps"] == 12
    assert 1 / (STEP + READ) <= cost["steps_per_second"] <= 1 / STEP
    # A frozen encoder's parameters are its own, but no trained ones.
    assert (cost["parameters"], cost["encoder_parameters"]) == (4, 9)
    accumulated = train(tmp_path, 6, accumulate_grad_batches=2)  # two batches make one step
    assert accumulated["steps"] == 6
    assert accumulated["seconds"] >= 12 * STEP


def test_what_an_interruption_made_again_counts_once(tmp_path: Path) -> None:
    first = train(tmp_path, 7)  # two steps after a checkpoint
    assert first["steps"] == 7
    again = train(tmp_path, 12, tmp_path / "5.ckpt")
    assert again["steps"] == 12
    assert 12 * STEP <= again["seconds"] <= 12 * (STEP + READ)
    through = train(tmp_path, 8, tmp_path / "8.ckpt")  # makes no step, and still knows its cost
    assert through["steps"] == 8
    with pytest.raises(ValueError, match="no steps and seconds"):
        TrainingCost().on_load_checkpoint(small_trainer(tmp_path), Module(), {"cost": ["much"]})
    TrainingCost().write(tmp_path / "none.json", Module())
    assert not (tmp_path / "none.json").exists()  # nothing was trained
