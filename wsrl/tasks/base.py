"""What every training task has: a measure to choose checkpoints by, and its name in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import LightningModule

import wsrl


class TaskModule(LightningModule, ABC):
    """A module that ``wsrl fit`` can train.

    Its hyper-parameters are its constructor's arguments as plain values, so that a checkpoint
    rebuilds it.
    """

    @property
    @abstractmethod
    def monitor(self) -> str:
        """The logged name by which the best checkpoint is chosen; smaller is better."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which module this is, so that the checkpoint alone is enough to rebuild it."""
        checkpoint["wsrl"] = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "version": wsrl.__version__,
        }
