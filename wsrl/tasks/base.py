"""What every training task has: an optimiser, and a metric to choose checkpoints by."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau
from torchmetrics import Metric

import wsrl
from wsrl.class_paths import class_path
from wsrl.encoders import Encoder
from wsrl.rnn import RNNInterface, RNNSpec
from wsrl.tasks.evaluation import EvaluationData, Remark
from wsrl.tasks.metrics import everywhere
from wsrl.tasks.optimizers import (
    Config,
    build,
    describe_optimizer,
    describe_scheduler,
    warn_of_rise,
)
from wsrl.tasks.state_dicts import checked_load
from wsrl.torch_files import read_torch_file

if TYPE_CHECKING:
    from wsrl.data.batch import ZooBatch

COLUMNS = "columns"
"""In what evaluations return: columns ``(B, ...)`` of a batch's RNNs, in a test with ``row``."""

_Task = TypeVar("_Task", bound="TaskModule")
_SETTINGS = ("hyper_parameters", "hparams", "module_arguments")  # the last two of old Lightning


class TaskModule(LightningModule, ABC):
    """A module that ``wsrl fit`` can train.

    Its hyper-parameters are its constructor's arguments as plain values, so that a checkpoint
    rebuilds it.

    What is drawn at random in a training step, as by dropout, is a function of the seed that
    training began with, the number of the step's batch and the process: a resumed run draws what
    it would have drawn. An encoder that draws in evaluations too draws the same in each. The
    caller's random state is restored afterwards.
    """

    spec: RNNSpec | RNNInterface
    encoder: Encoder
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    optimizer: Config | None = None
    lr_scheduler: Config | None = None
    split_metrics: nn.ModuleDict
    _seed: int | None = None
    _outside: ExitStack | None = None

    @property
    @abstractmethod
    def monitor(self) -> str:
        """The logged name by which the best checkpoint is chosen; smaller is better."""

    def remarks(self, stage: str) -> list[Remark]:
        """Return remarks on the data of a stage, before training or evaluation begins."""
        return []

    @abstractmethod
    def measure(self, batch: ZooBatch, split: str, test: bool) -> dict[str, Any]:
        """Measure a batch of a split; return what figures need, and ``COLUMNS``."""

    def validation_step(
        self, batch: ZooBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Measure one batch."""
        split = self.evaluation_data.eval_splits("validate")[dataloader_idx]
        return self.measure(batch, split, test=False)

    def test_step(self, batch: ZooBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Measure one batch; its ``COLUMNS`` say whose they are, too."""
        split = self.evaluation_data.eval_splits("test")[dataloader_idx]
        found = self.measure(batch, split, test=True)
        return {**found, COLUMNS: {**found[COLUMNS], **batch.labels()}}

    def make_metrics(self) -> dict[str, Metric]:
        """Return new metrics of one split by name; nothing by default."""
        return {}

    def measure_columns(self, columns: Mapping[str, Tensor]) -> dict[str, float]:
        """Return metrics of some of a test's RNNs, from their ``COLUMNS``; nothing by default."""
        return {}

    def keep_arguments(self, arguments: dict[str, Any], **plain: Any) -> None:
        """Set how the module is trained, and keep all arguments as its hyper-parameters.

        They are the constructor's ``locals()``, taken before anything else. Those that are no plain
        values, beside the encoder, are kept as ``plain`` says.
        """
        check_not_negative(warmup_steps=arguments["warmup_steps"])
        self.split_metrics = nn.ModuleDict()
        self.learning_rate = arguments["learning_rate"]
        self.weight_decay = arguments["weight_decay"]
        self.warmup_steps = arguments["warmup_steps"]
        self.optimizer = describe_optimizer(arguments["optimizer"])
        self.lr_scheduler = describe_scheduler(arguments["lr_scheduler"])
        training = {"optimizer": self.optimizer, "lr_scheduler": self.lr_scheduler}
        known = {n: value for n, value in arguments.items() if n not in ("self", "__class__")}
        encoder = {"encoder": self.encoder.config(), "encoder_defaults": None}  # taken in by it
        spec = {"spec": self.spec.to_dict()}
        self.save_hyperparameters({**known, **spec, **encoder, **training, **plain})

    @property
    def has_data(self) -> bool:
        """Whether the trainer was given a datamodule."""
        return self.trainer.datamodule is not None  # type: ignore[attr-defined]

    @property
    def evaluation_data(self) -> EvaluationData:
        """The datamodule that the module is evaluated on; bare loaders are a ``RuntimeError``."""
        if not self.has_data:
            raise RuntimeError(
                f"{type(self).__name__} is evaluated split by split: give the trainer a "
                "ZooDataModule (datamodule=...), not bare loaders"
            )
        return cast(EvaluationData, self.trainer.datamodule)  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        """Make the metrics of every split that will be evaluated."""
        if stage != "predict" and self.has_data:
            splits = self.evaluation_data.eval_splits("test" if stage == "test" else "validate")
            metrics = {split: nn.ModuleDict(self.make_metrics()) for split in splits}
            self.split_metrics = nn.ModuleDict(metrics)

    def log_metrics(self, split: str, values: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Give a batch's values to metrics of a split, by name, and log all as ``<split>/<name>``.

        Lightning computes and resets them at the end of the epoch. All are logged at every step,
        used or not: every process must log the same ones.
        """
        for name, module in cast(nn.ModuleDict, self.split_metrics[split]).items():
            metric, shown = cast(Metric, module), f"validation/{name}" == self.monitor
            if name in values:
                metric.update(*values[name])
            self.log(f"{split}/{name}", metric, prog_bar=shown, add_dataloader_idx=False)

    def log_loss(self, loss: Tensor, batch_size: int) -> None:
        """Log a training step's loss as ``train/loss``: its mean over all processes."""
        mean = everywhere(loss.detach()).mean()  # their shares are equal
        self.log("train/loss", mean, batch_size=batch_size)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return one optimiser for all parameters that are trained, and its schedules.

        With ``w`` warm-up steps, step ``n`` uses ``n / (w + 1)`` of the learning rate for
        ``n <= w``, and all of it from then on. Schedules advance with every optimiser step;
        ``ReduceLROnPlateau`` after every validation, by ``monitor``.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = build(self.optimizer, trained) if self.optimizer else self._make_adamw(trained)
        schedules: list[dict[str, Any]] = []
        if self.warmup_steps:
            warmup = LinearLR(optimizer, 1 / (self.warmup_steps + 1), total_iters=self.warmup_steps)
            schedules.append({"scheduler": warmup, "interval": "step"})
        if self.lr_scheduler:
            given = build(self.lr_scheduler, optimizer)
            warn_of_rise(given, self._of_trainer("max_steps") or -1)
            waits = isinstance(given, ReduceLROnPlateau)
            how = {"monitor": getattr(given, "monitor", self.monitor), "interval": "epoch"}
            schedules.append({"scheduler": given, **(how if waits else {"interval": "step"})})
        return ([optimizer], schedules) if schedules else optimizer  # type: ignore[return-value]

    def _of_trainer(self, name: str) -> Any:
        """Return a setting of the trainer; ``None`` where there is no trainer."""
        try:
            return getattr(self.trainer, name)
        except RuntimeError:
            return None

    def _make_adamw(self, trained: list[nn.Parameter]) -> Optimizer:
        mixed = "mixed" in str(self._of_trainer("precision"))
        # Several times faster on the CPU, but Lightning does not clip for it in mixed precision.
        fused = True if self.device.type == "cpu" and not mixed else None  # or as PyTorch chooses
        return AdamW(trained, self.learning_rate, weight_decay=self.weight_decay, fused=fused)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # narrower: nothing is ever unpickled
        cls: type[_Task],
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        strict: bool | None = None,
    ) -> _Task:
        """Rebuild a module from a checkpoint alone, as Lightning does.

        Raises:
            FileNotFoundError: where there is no file.
            ValueError: for a file that is no checkpoint, whose weights are another model's, or that
                names what is to make the module of them: Lightning would import, and call, that.
        """
        content = read_torch_file(checkpoint_path, mmap=True)
        known = content if isinstance(content, dict) else {}
        if not known or any("_instantiator" in (known.get(key) or {}) for key in _SETTINGS):
            raise ValueError(f"{checkpoint_path} is no checkpoint of a module of wsrl")
        try:
            module: _Task = super().load_from_checkpoint(
                checkpoint_path, map_location, strict=strict, weights_only=True
            )
        except ValueError as error:
            raise ValueError(f"{checkpoint_path} cannot be rebuilt: {error}") from error
        return module

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, as ``torch.nn.Module`` does; those of another are a ``WeightsError``."""
        with checked_load(self, state_dict):
            return super().load_state_dict(state_dict, strict, assign)

    def on_train_start(self) -> None:
        """Take the seed of the random state, unless a checkpoint gave one."""
        self._keep_random_state()
        if self._seed is None:
            self._seed = self.trainer.strategy.broadcast(torch.initial_seed())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed all random generators, by the number of this batch in the whole run."""
        done = self.trainer.fit_loop.epoch_loop.batch_progress.total.completed
        self._seed_generators(f"{self._seed} {done} {self.global_rank}")

    def on_train_end(self) -> None:
        """Restore the random state."""
        if self._outside is not None:
            self._outside.close()
            self._outside = None

    def on_validation_start(self) -> None:
        """Seed all random generators, always alike."""
        if self.trainer.state.fn != TrainerFn.FITTING:  # there every batch begins anew
            self._keep_random_state()
        self._seed_generators(f"validation {self.global_rank}")

    def on_validation_end(self) -> None:
        """Restore the random state."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            TaskModule.on_train_end(self)

    on_test_start, on_test_end = on_validation_start, on_validation_end
    on_predict_start, on_predict_end = on_validation_start, on_validation_end

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which module this is, so that the checkpoint alone is enough to rebuild it."""
        checkpoint["wsrl"] = {
            "class_path": class_path(type(self)),
            "version": wsrl.__version__,
            "seed": self._seed,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the seed of the random state."""
        self._seed = checkpoint["wsrl"].get("seed")

    def _keep_random_state(self) -> None:
        """Have ``on_train_end`` restore the states of all that ``_seed_generators`` seeds."""
        self._outside = ExitStack()
        self._outside.enter_context(isolate_rng(include_cuda=False))
        if (device := self.device).type != "cpu":
            own = torch.random.fork_rng([device], device_type=device.type)
            self._outside.enter_context(own)

    def _seed_generators(self, key: str) -> None:
        """Seed Python's, numpy's and torch's generators; microseconds in all."""
        seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 those who draw from it cannot be handed another
        # torch.manual_seed would take as long as a small step, for devices that are not in use.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)


def check_not_negative(**values: float) -> None:
    """Refuse options below 0 by a ``ValueError``."""
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0, not {value}")
