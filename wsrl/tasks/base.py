"""What every training task has: a measure to choose checkpoints by, and its name in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule
from torch.optim import AdamW

import wsrl

_Task = TypeVar("_Task", bound="TaskModule")


class TaskModule(LightningModule, ABC):
    """A module that ``wsrl fit`` can train.

    Its hyper-parameters are its constructor's arguments as plain values, so that a checkpoint
    rebuilds it.
    """

    @property
    @abstractmethod
    def monitor(self) -> str:
        """The logged name by which the best checkpoint is chosen; smaller is better."""

    def make_adamw(self, learning_rate: float, weight_decay: float) -> AdamW:
        """Return one AdamW for all parameters that are trained."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        mixed = self._trainer is not None and "mixed" in str(self._trainer.precision)
        # Several times faster on the CPU, but Lightning does not clip for it in mixed precision.
        fused = True if self.device.type == "cpu" and not mixed else None  # or as PyTorch chooses
        return AdamW(trained, learning_rate, weight_decay=weight_decay, fused=fused)

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
        """
        module: _Task = super().load_from_checkpoint(
            checkpoint_path, map_location, strict=strict, weights_only=True
        )
        return module

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which module this is, so that the checkpoint alone is enough to rebuild it."""
        checkpoint["wsrl"] = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "version": wsrl.__version__,
        }
