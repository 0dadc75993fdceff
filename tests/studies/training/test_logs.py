"""TensorBoard's files of a run."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from wsrl.data import ZooDataModule
from wsrl.encoders import FlattenedWeights
from wsrl.studies.training.logs import RunLogger
from wsrl.studies.training.runs import Run
from wsrl.tasks import EmulationModule


def log_much(logger: RunLogger) -> None:
    for step in range(1, 200):
        logger.log_metrics({"loss": 1.0}, step)
        logger.save()


@contextmanager
def full_disk() -> Iterator[None]:
    """Have files grow to some size and no further."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_error_of_a_full_disk_names_the_file(tmp_path: Path) -> None:
    logger = RunLogger(Run(tmp_path / "run"))
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    (file,) = (tmp_path / "run" / "logs").glob("events.out.tfevents.*")
    wanted = re.escape(f"File too large: '{file}'")
    with full_disk():
        with pytest.raises(OSError, match=wanted):
            log_much(logger)
        for after in (
            logger.save,
            lambda: logger.log_metrics({"loss": 1.0}, 300),
            lambda: logger.log_hyperparams({"width": 3}),
            lambda: logger.finalize("failed"),
        ):
            with pytest.raises(OSError, match=wanted):
                after()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_figure_for_which_there_is_no_room_names_the_file(zoo_path: Path, tmp_path: Path) -> None:
    data = ZooDataModule(str(zoo_path), batch_size=8, steps_per_epoch=2)
    module = EmulationModule(
        partial(FlattenedWeights, embedding_dim=4, width=4),
        data.spec,
        emulator_width=4,
        clone_rnns=0,
    )
    logger = RunLogger(Run(tmp_path / "run"))
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with full_disk(), pytest.raises(OSError, match=r"File too large: '.*/run/logs/events.out"):
        trainer.fit(module, datamodule=data)


def test_a_value_that_cannot_be_drawn_is_told_from_a_full_disk(tmp_path: Path) -> None:
    logger = RunLogger(Run(tmp_path / "run"))
    with pytest.raises(ValueError, match="not supported"):
        logger.log_metrics({"loss": object()}, 0)  # type: ignore[dict-item]
