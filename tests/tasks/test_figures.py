from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tasks.conftest import small_emulation, small_trainer
from wsrl.data import ZooDataModule
from wsrl.encoders import FlattenedWeights, InteractiveProbing
from wsrl.tasks import PredictionModule

PROBING = partial(InteractiveProbing, num_probes=2, probing_length=4, probe_width=8, reader_width=8)


def drawn(folder: str) -> dict[str, list[int]]:
    """Return the steps at which each image was written."""
    events = EventAccumulator(folder, size_guidance={"images": 0})
    events.Reload()
    return {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}


@pytest.mark.parametrize("output_kind", ["categorical", "real"])
def test_figures_are_drawn_at_every_validation(
    datamodule: ZooDataModule, tmp_path: Path, output_kind: str
) -> None:
    loss = {"categorical": "total_variation", "real": "mean_squared_error"}[output_kind]
    module = small_emulation(datamodule, encoder=PROBING, output_kind=output_kind, loss=loss)
    logger = TensorBoardLogger(tmp_path)
    trainer = small_trainer(tmp_path, max_epochs=2, logger=logger, num_sanity_val_steps=1)
    trainer.fit(module, datamodule=datamodule)
    expected = {name: [4, 8] for name in ("outputs", "probing", "embeddings")}  # not at step 0
    assert drawn(logger.log_dir) == expected


def test_nothing_is_drawn_unless_wanted_and_possible(
    datamodule: ZooDataModule, tmp_path: Path
) -> None:
    logger = TensorBoardLogger(tmp_path)
    trainer = small_trainer(tmp_path, logger=logger)
    trainer.fit(small_emulation(datamodule, figures=False), datamodule=datamodule)
    assert drawn(logger.log_dir) == {}
    trainer = small_trainer(tmp_path, logger=CSVLogger(tmp_path))
    trainer.fit(small_emulation(datamodule), datamodule=datamodule)


@pytest.mark.parametrize("target", ["task", "performance"])
def test_predictions_are_drawn_at_the_end_of_training_and_of_a_test(
    datamodule: ZooDataModule, tmp_path: Path, target: str
) -> None:
    options = {"encoder": FlattenedWeights, "mode": "scratch"}
    module = PredictionModule(target, datamodule.targets, datamodule.spec, **options)
    logger = TensorBoardLogger(tmp_path)
    trainer = small_trainer(tmp_path, max_epochs=2, logger=logger)
    trainer.fit(module, datamodule=datamodule)
    expected = {f"predictions/{split}": [8] for split in ("validation", "ood")}
    assert drawn(logger.log_dir) == expected
    trainer.test(module, datamodule=datamodule, verbose=False)
    assert drawn(logger.log_dir)["predictions/ood"] == [8, 8]
