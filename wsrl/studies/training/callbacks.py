"""What a training run leaves in its folder: its settings and its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from torch import Tensor

from wsrl.minutes import Minutes
from wsrl.studies.training.runs import Run
from wsrl.tasks import TaskModule
from wsrl.terminal import note
from wsrl.zoos.files import write_atomically


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
        config.update(str(Path(config["data"]["zoo"]).resolve()), "data.zoo")
        if getattr(pl_module, "pretrained", None):
            # Also where a run that went on has its encoder from: its own checkpoint held it.
            config.update(pl_module.pretrained, "model.init_args.pretrained")
            config.pop("model.init_args.encoder", None)
        for name in ("run", "ckpt_path", "overwrite", "checkpoint_minutes"):
            config.pop(name, None)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.parser.dump(config, skip_none=False).encode())


class DataRemarks(Callback):
    """Says before any work which metrics are not defined on these data, and why."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print what the task has to say.

        Raises:
            ValueError: where a callback goes by a metric that is not defined.
        """
        if not isinstance(pl_module, TaskModule) or stage == "predict":
            return
        remarks = pl_module.remarks(stage)
        if trainer.is_global_zero:
            note(remark.text for remark in remarks)
        undefined = {name: remark.text for remark in remarks for name in remark.undefined}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            goes_by_metric = isinstance(callback, ModelCheckpoint | EarlyStopping)
            if goes_by_metric and callback.monitor in undefined:
                raise ValueError(
                    f"{type(callback).__name__} monitors {callback.monitor}, which is not defined "
                    f"({undefined[callback.monitor]}): monitor {pl_module.monitor}"
                )


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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best score, where the best checkpoint lies in this folder.

        No path is taken from a checkpoint: Lightning would delete what lies there.
        """
        best = Path(str(self.dirpath), "best.ckpt")
        score = state_dict.get("best_model_score")
        if not best.exists() or not isinstance(score, Tensor) or score.numel() != 1:
            return
        if not bool(score.isfinite()):  # of a run that diverged, as older versions kept it
            return
        score = score.reshape(())
        self.best_model_path = self.kth_best_model_path = str(best)
        self.best_model_score = self.kth_value = self.current_score = score
        self.best_k_models = {str(best): score}
