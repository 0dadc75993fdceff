"""The training state in a checkpoint, checked before a trainer loads it.

Lightning does not: without an optimiser's state, training would silently begin again.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from wsrl.recorded import is_plain
from wsrl.studies.training.optimizer_state import check_optimizer_state, is_alike


class TrainingStateCheck(Callback):
    """Refuses a checkpoint whose training state is not one of this model and its optimisers.

    Lightning loads callbacks first, and optimisers, schedulers and counters after ``on_fit_start``.
    """

    def __init__(self) -> None:
        self._checkpoint: dict[str, Any] | None = None
        self._steps: int | None = None

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what is to be loaded."""
        self._checkpoint = checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check it.

        Raises:
            ValueError: naming the checkpoint and what does not fit.
        """
        checkpoint, self._checkpoint = self._checkpoint, None
        # Strategies that share out the optimisers read their states in formats of their own.
        if trainer.ckpt_path is None or not trainer.strategy.lightning_restore_optimizer:
            return
        try:
            if checkpoint is None:
                raise ValueError("it holds no callbacks")
            check_training_state(trainer, checkpoint)
            self._steps = checkpoint["global_step"]
        except ValueError as error:
            raise ValueError(
                f"{trainer.ckpt_path} is damaged or not to be trusted, training cannot go on from "
                f"it: {error}"
            ) from error

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the counters say what the checkpoint says.

        Raises:
            ValueError: where training would begin at another step.
        """
        steps, self._steps = self._steps, None
        if steps is not None and trainer.global_step != steps:
            raise ValueError(
                f"{trainer.ckpt_path} is damaged or not to be trusted: it is of step {steps}, but "
                f"its loops count {trainer.global_step}"
            )


def check_training_state(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Check what a trainer is about to load, against its optimisers, schedulers and loops.

    That its counters are whole numbers was checked when the checkpoint's settings were read.

    Raises:
        ValueError: saying what does not fit.
    """
    wanted = ("callbacks", "loops", "optimizer_states", "lr_schedulers", "global_step")
    if lacking := [name for name in wanted if name not in checkpoint]:
        raise ValueError(f"it holds no {', '.join(lacking)}")
    schedulers: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    for name, own in (("optimizer_states", trainer.optimizers), ("lr_schedulers", schedulers)):
        saved = checkpoint[name]
        if not isinstance(saved, list) or len(saved) != len(own):
            held = len(saved) if isinstance(saved, list) else f"a {type(saved).__name__}"
            raise ValueError(f"its {name} hold {held}, the model needs {len(own)}")
    for optimizer, saved in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
        try:
            check_optimizer_state(optimizer, saved, began=checkpoint["global_step"] > 0)
        except (ValueError, TypeError) as error:
            raise ValueError(f"its optimiser's state does not fit the model ({error})") from error
    for scheduler, saved in zip(schedulers, checkpoint["lr_schedulers"], strict=True):
        _check_scheduler(scheduler, saved)
    loops = checkpoint["loops"]
    found = loops.get("fit_loop") if isinstance(loops, dict) else None
    if not _holds_all(found, trainer.fit_loop.state_dict()):
        raise ValueError("its loops are no counters of training")


def _check_scheduler(scheduler: Any, saved: Any) -> None:
    """Check a scheduler's state, every entry of which becomes an attribute of the scheduler."""
    if not isinstance(saved, dict):
        raise ValueError(f"its lr_schedulers hold a {type(saved).__name__}")
    own = scheduler.state_dict()
    for name, value in saved.items():
        if not isinstance(name, str):
            raise ValueError("its scheduler's state is not by name")
        fits = is_alike(value, own[name]) if name in own else not hasattr(type(scheduler), name)
        if not fits:
            raise ValueError(f"its scheduler's {name} is {reprlib.repr(value)}")
    if "last_epoch" in own and "last_epoch" not in saved:
        raise ValueError("its scheduler has no last_epoch")


def _holds_all(found: Any, own: Any) -> bool:
    """Whether nested dictionaries have all the names of others, and values where these do."""
    if not isinstance(own, dict):
        return isinstance(found, dict | list) == isinstance(own, list)
    return isinstance(found, dict) and all(
        name in found and _holds_all(found[name], own[name]) for name in own
    )


def are_counters(found: object) -> bool:
    """Whether nested dictionaries and lists hold nothing but whole numbers and booleans."""
    return is_plain(found) and _counts(found)


def _counts(found: Any) -> bool:
    if isinstance(found, dict | list):
        return all(map(_counts, found.values() if isinstance(found, dict) else found))
    return type(found) in (int, bool)
