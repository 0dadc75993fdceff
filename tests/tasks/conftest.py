from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from wsrl.data import ZooDataModule
from wsrl.encoders import FlattenedWeights
from wsrl.tasks import EmulationModule

SMALL_ENCODER = partial(FlattenedWeights, embedding_dim=5, width=16)


@pytest.fixture
def datamodule(zoo_path: Path) -> ZooDataModule:
    return ZooDataModule(
        str(zoo_path),
        batch_size=8,
        sequences_per_rnn=2,
        steps_per_epoch=4,
        split_seed=2,
        eval_batch_size=7,
    )


def small_emulation(datamodule: ZooDataModule, **options: Any) -> EmulationModule:
    settings = {
        "encoder": SMALL_ENCODER,
        "emulator_width": 12,
        "clone_rnns": 4,
        "clone_sequences": 3,
    }
    return EmulationModule(spec=datamodule.spec, **(settings | options))


def small_trainer(folder: Path, **options: Any) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return Trainer(default_root_dir=folder, **(settings | options))


@pytest.fixture(scope="session")
def emulation_checkpoint(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small emulation, trained for four steps."""
    folder = tmp_path_factory.mktemp("emulation")
    datamodule = ZooDataModule(str(zoo_path), batch_size=8, steps_per_epoch=4, eval_batch_size=32)
    trainer = small_trainer(folder)
    trainer.fit(small_emulation(datamodule), datamodule=datamodule)
    trainer.save_checkpoint(folder / "emulation.ckpt")
    return folder / "emulation.ckpt"
