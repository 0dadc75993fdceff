"""A run that was stopped and resumed reads the same data and ends with the same weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from tests.data.conftest import flat
from wsrl.data import ZooBatch, ZooDataModule


class Learner(LightningModule):
    """The least that learns something from every part of a batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights = nn.LazyLinear(1)
        self.outputs = nn.LazyLinear(1)
        self.rows: list[list[int]] = []
        self.validated = 0

    def setup(self, stage: str) -> None:
        batch = self.trainer.datamodule.train_dataloader().batch(0)
        torch.manual_seed(0)
        self.loss(batch)  # the lazy layers find their sizes

    def loss(self, batch: ZooBatch) -> Tensor:
        read: Tensor = self.weights(flat(batch.weights)) + self.outputs(batch.outputs.flatten(1))
        return (read - batch.targets["task"].float().sum(1, keepdim=True)).square().mean()

    def training_step(self, batch: ZooBatch, batch_idx: int) -> Tensor:
        self.rows.append(batch.row.tolist())
        return self.loss(batch)

    def validation_step(self, batch: ZooBatch, batch_idx: int, dataloader_idx: int) -> None:
        self.validated += len(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 0.01)


class SaveAt(Callback):
    """Saves a checkpoint when so many batches are done, as ``ModelCheckpoint`` does in training."""

    def __init__(self, folder: Path, batches: tuple[int, ...]) -> None:
        self.folder, self.batches = folder, batches

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *rest: Any) -> None:
        done = trainer.fit_loop.total_batch_idx + 1
        if done in self.batches:
            trainer.save_checkpoint(self.folder / f"{done}.ckpt")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        done = trainer.fit_loop.total_batch_idx + 1
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.folder / f"validation-{done}.ckpt")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.save_checkpoint(self.folder / f"epoch-{trainer.current_epoch}.ckpt")


def fit(
    zoo: str,
    folder: Path,
    steps_per_epoch: int,
    save_at: tuple[int, ...] = (),
    checkpoint: Path | None = None,
    draw: Any = "proportion",
    **options: Any,
) -> Learner:
    module = Learner()
    how: dict[str, Any] = {"steps_per_epoch": steps_per_epoch, "permute": True, "draw": draw}
    data = ZooDataModule(zoo, batch_size=8, sequences_per_rnn=2, **how)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[SaveAt(folder, save_at)] if save_at else [],
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not resumable.*")
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return module


def assert_continues(straight: Learner, resumed: Learner, done: int) -> None:
    assert resumed.rows == straight.rows[done:]
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    ("steps_per_epoch", "points", "options"),
    [
        (6, (1, 6, 9, 17), {"max_epochs": 3}),
        (6, (1, 4, 6, 9), {"max_steps": 15, "max_epochs": -1}),
        (6, (2, 6, 10, 12), {"max_epochs": 3, "accumulate_grad_batches": 2}),
        # the last batch of an epoch of 5 steps alone, so batches are not steps times 2
        (5, (2, 5, 7, 10), {"max_epochs": 3, "accumulate_grad_batches": 2}),
        (6, (2, 4, 5), {"max_epochs": 3, "limit_train_batches": 4}),
    ],
)
def test_a_resumed_run_is_the_straight_run(
    zoo_path: str,
    tmp_path: Path,
    steps_per_epoch: int,
    points: tuple[int, ...],
    options: dict[str, Any],
) -> None:
    straight = fit(zoo_path, tmp_path, steps_per_epoch, points, **options)
    assert straight.validated > 0
    batches = options.get("limit_train_batches", steps_per_epoch)
    assert len(straight.rows) == options.get("max_steps", batches * options["max_epochs"])
    for point in points:
        checkpoint = tmp_path / f"{point}.ckpt"
        resumed = fit(zoo_path, tmp_path, steps_per_epoch, (), checkpoint, **options)
        assert_continues(straight, resumed, point)


def test_a_run_on_a_collection_goes_on_too(collection_path: Path, tmp_path: Path) -> None:
    options = {"max_epochs": 3, "draw": "evenly"}
    zoo = str(collection_path)
    straight = fit(zoo, tmp_path, 6, (4, 9), **options)
    for point in (4, 9):
        resumed = fit(zoo, tmp_path, 6, (), tmp_path / f"{point}.ckpt", **options)
        assert_continues(straight, resumed, point)


@pytest.mark.parametrize(
    ("name", "done"), [("validation-4", 4), ("validation-6", 6), ("epoch-0", 6), ("epoch-1", 12)]
)
def test_checkpoints_of_validation_and_epoch_end_resume_too(
    zoo_path: str, tmp_path: Path, name: str, done: int
) -> None:
    options: dict[str, Any] = {"max_epochs": 3, "val_check_interval": 2}
    straight = fit(zoo_path, tmp_path, 6, (1,), **options)
    resumed = fit(zoo_path, tmp_path, 6, (), tmp_path / f"{name}.ckpt", **options)
    assert_continues(straight, resumed, done)
