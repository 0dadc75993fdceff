"""What a training run leaves in its folder and on the terminal."""

import logging
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from wsrl.data.datamodule import absolute
from wsrl.minutes import Minutes
from wsrl.studies.training.runs import Run
from wsrl.tasks import TaskModule
from wsrl.terminal import note
from wsrl.zoos.files import write_atomically

_EXPECTED_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",  # torch, of Lightning
    ".*does not have many workers",  # batches are read at once, without workers
    "Checkpoint directory .* exists and is not empty",  # when a run goes on
    "The dirpath has changed",  # it was moved
    "Be aware that when using `ckpt_path`, callbacks",  # evaluation needs none of them
    r"Found \d+ module\(s\) in eval mode",  # a frozen encoder
    ".*method of metric MeanMetric was called before",  # a mean of nothing is NaN, and said
)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings that are expected, and advertisements."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for developers of other libraries
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()


class RunLogger(TensorBoardLogger):
    """Writes a run's curves into its folder, each process that trains a file of its own.

    A run that goes on from a checkpoint of some ``step`` tells readers to leave out what was logged
    after it, since it will log that again.
    """

    def __init__(self, run: Run, step: int = 0) -> None:
        super().__init__(run.folder, run.logs.name, "", filename_suffix=".fit", purge_step=step)
        self._goes_on = step > 0

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *rest: Any, **more: Any) -> None:
        """Log hyper-parameters once; a run that goes on has them already."""
        if not self._goes_on:
            super().log_hyperparams(params, *rest, **more)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; Lightning takes a full disk for a value that cannot be logged."""
        try:
            super().log_metrics(metrics, step)
        except ValueError as error:
            raise (error.__cause__ if isinstance(error.__cause__, OSError) else error) from None


class SaveRunConfig(SaveConfigCallback):
    """Writes the resolved settings into the run's folder when training starts."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the folder as it is: the model may still refuse to train."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write once, from one process."""
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write them so that they hold in any folder, without what is for one command only."""
        path = Run(Path(self.config["run"])).config
        config = self.config.clone()
        config.update(absolute(config["data"]["zoo"]), "data.zoo")
        if getattr(pl_module, "pretrained", None):
            # Also where a run that went on has its encoder from: its own checkpoint held it.
            config.update(pl_module.pretrained, "model.init_args.pretrained")
            config.pop("model.init_args.encoder", None)
        for name in ("run", "ckpt_path", "overwrite", "checkpoint_minutes"):
            config.pop(name, None)
        write_atomically(path, self.parser.dump(config, skip_none=False).encode())


class DataRemarks(Callback):
    """Says before any work which metrics are not defined on these data, and why."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print remarks on the data."""
        if isinstance(pl_module, TaskModule) and stage != "predict" and trainer.is_global_zero:
            note(remark.text for remark in pl_module.remarks(stage))


class ProgressLine(Callback):
    """Says once a minute how far training is, where there is no progress bar."""

    def __init__(self) -> None:
        self._minutes = Minutes()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print a line when its time has come."""
        shown = trainer.progress_bar_callback is not None or not trainer.is_global_zero
        if shown or not self._minutes.passed():
            return
        loss = outputs.get("loss")
        said = f", loss {float(loss):.4g}" if isinstance(loss, Tensor) else ""
        of = f" of {trainer.max_steps}" if trainer.max_steps > 0 else ""
        note([f"step {trainer.global_step}{of}, epoch {trainer.current_epoch}{said}"])


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best checkpoint, also when a run goes on after its folder was moved."""

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            enable_version_counter=False,
            # At the end of the epoch, the score would be missing in the ``last`` of its validation.
            save_on_train_epoch_end=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best score, where the best checkpoint lies in this folder.

        No path is taken from a checkpoint: Lightning would delete what lies there.
        """
        best = Path(str(self.dirpath), "best.ckpt")
        score = state_dict.get("best_model_score")
        if not best.exists() or not isinstance(score, Tensor) or score.numel() != 1:
            return
        score = score.reshape(())
        self.best_model_path = self.kth_best_model_path = str(best)
        self.best_model_score = self.kth_value = self.current_score = score
        self.best_k_models = {str(best): score}
