"""What every training task has: an optimiser, and a metric to choose checkpoints by."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

import wsrl
from wsrl.class_paths import class_path
from wsrl.tasks.optimizers import (
    Config,
    OptimizerLike,
    SchedulerLike,
    build,
    describe_optimizer,
    describe_scheduler,
)
from wsrl.tasks.remarks import Remark
from wsrl.tasks.state_dicts import load_checked
from wsrl.torch_files import read_torch_file

COLUMNS = "columns"
"""In what a test step returns: columns ``(B, ...)`` of the RNNs of its batch, with ``row``."""

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

    Attributes:
        learning_rate: of AdamW, the default optimiser.
        weight_decay: of AdamW.
        warmup_steps: steps over which the learning rate rises to its full value; 0 for none.
        optimizer: the description of another optimiser.
        lr_scheduler: the description of what changes the learning rate after the warm-up too.
    """

    learning_rate: float
    weight_decay: float
    warmup_steps: int
    optimizer: Config | None = None
    lr_scheduler: Config | None = None
    _seed: int | None = None
    _outside: tuple[Any, ...] | None = None

    @property
    @abstractmethod
    def monitor(self) -> str:
        """The logged name by which the best checkpoint is chosen; smaller is better."""

    def remarks(self, stage: str) -> list[Remark]:
        """Return what is to be said of the data before any work; nothing by default.

        Args:
            stage: ``fit``, ``validate`` or ``test``; the data are set up for it.
        """
        return []

    def set_training(
        self,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        optimizer: OptimizerLike | None = None,
        lr_scheduler: SchedulerLike | None = None,
    ) -> dict[str, Any]:
        """Set the attributes that say how the module is trained.

        Returns:
            The same as plain values, for the hyper-parameters.

        Raises:
            ValueError: for a negative number of steps, or options that a class does not take.
            TypeError: for an optimiser or a schedule that cannot go into a checkpoint.
        """
        check_not_negative(warmup_steps=warmup_steps)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_steps = warmup_steps
        self.optimizer = describe_optimizer(optimizer)
        self.lr_scheduler = describe_scheduler(lr_scheduler)
        names = ("learning_rate", "weight_decay", "warmup_steps", "optimizer", "lr_scheduler")
        return {name: getattr(self, name) for name in names}

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
            waits = isinstance(given, ReduceLROnPlateau)
            how = {"monitor": getattr(given, "monitor", self.monitor), "interval": "epoch"}
            schedules.append({"scheduler": given, **(how if waits else {"interval": "step"})})
        return ([optimizer], schedules) if schedules else optimizer  # type: ignore[return-value]

    def _make_adamw(self, trained: list[nn.Parameter]) -> Optimizer:
        try:
            mixed = "mixed" in str(self.trainer.precision)
        except RuntimeError:  # there is no trainer
            mixed = False
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
        """Rebuild a module from a checkpoint alone.

        Args:
            checkpoint_path: a checkpoint that a trainer wrote.
            map_location: the device to load to.
            strict: whether the weights must match by name; they must, by default.

        Raises:
            FileNotFoundError: where there is no file.
            ValueError: for a file that is no checkpoint, whose weights are not those of the model
                that its settings describe, or that names what is to make the module out of them:
                Lightning would import, and call, what these name.
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
        """Load weights, as ``torch.nn.Module`` does.

        Raises:
            WeightsError: for those of another model, in one line.
        """
        return load_checked(
            self,
            state_dict,
            lambda: super(TaskModule, self).load_state_dict(state_dict, strict, assign),
        )

    def on_train_start(self) -> None:
        """Take the seed of the random state, unless a checkpoint gave one."""
        self._outside = self._random_states()
        if self._seed is None:
            self._seed = self.trainer.strategy.broadcast(torch.initial_seed())

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed all random generators, by the number of this batch in the whole run."""
        done = self.trainer.fit_loop.epoch_loop.batch_progress.total.completed
        self._seed_generators(f"{self._seed} {done} {self.global_rank}")

    def on_train_end(self) -> None:
        """Restore the random state."""
        self._restore()

    def on_validation_start(self) -> None:
        """Seed all random generators, always alike."""
        if self.trainer.state.fn != TrainerFn.FITTING:  # there every batch begins anew
            self._outside = self._random_states()
        self._seed_generators(f"validation {self.global_rank}")

    def on_validation_end(self) -> None:
        """Restore the random state."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            self._restore()

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

    def _random_states(self) -> tuple[Any, ...]:
        """Return the states of all that ``_seed_generators`` seeds."""
        on_cpu = self.device.type == "cpu"
        device = None if on_cpu else torch.get_device_module(self.device).get_rng_state(self.device)
        return random.getstate(), np.random.get_state(), torch.get_rng_state(), device  # noqa: NPY002

    def _restore(self) -> None:
        if self._outside is None:
            return
        python, numpy, cpu, device = self._outside
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if device is not None:
            torch.get_device_module(self.device).set_rng_state(device, self.device)
        self._outside = None

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
    """Check that options are at least 0.

    Raises:
        ValueError: naming the first that is not.
    """
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0, not {value}")
