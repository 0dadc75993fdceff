"""What training costs: parameters, steps and seconds, over all interruptions."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from wsrl.strict_json import to_json
from wsrl.studies.benchmark.results import Cost
from wsrl.zoos.files import write_atomically


class TrainingCost(Callback):
    """Measures the time of training steps, reading of data included.

    That of validations and checkpoints is left out. A checkpoint holds what came before it, so
    steps that are made again after a restart count once. The GPU is waited for only before
    validations and checkpoints, which wait for it anyway.
    """

    def __init__(self) -> None:
        self._steps, self._seconds, self._first = 0, 0.0, 0
        self._since: float | None = None

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Begin to measure, where a validation, a checkpoint or nothing came before."""
        if self._since is None:
            self._since, self._first = time.perf_counter(), trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add what was measured."""
        if self._since is None:
            return
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).synchronize(pl_module.device)
        self._steps += trainer.global_step - self._first
        self._seconds += time.perf_counter() - self._since
        self._since = None

    on_train_end = on_validation_start

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Have the checkpoint hold what was measured."""
        self.on_validation_start(trainer, pl_module)
        checkpoint["cost"] = [[self._steps, self._seconds]]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from there; a damaged checkpoint is a ``ValueError``."""
        try:
            known = [(int(steps), float(seconds)) for steps, seconds in checkpoint.get("cost", [])]
        except (TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint's cost is no steps and seconds: {error}") from error
        self._steps = sum(steps for steps, _ in known)
        self._seconds = sum(seconds for _, seconds in known)

    def write(self, path: Path, module: LightningModule) -> None:
        """Write what training took as JSON; nothing where no step was measured."""
        if self._steps == 0:
            return
        encoder = dict(module.named_children()).get("encoder")
        cost = Cost(
            parameters=sum(p.numel() for p in module.parameters() if p.requires_grad),
            encoder_parameters=sum(p.numel() for p in encoder.parameters()) if encoder else 0,
            steps=self._steps,
            seconds=self._seconds,
            steps_per_second=self._steps / self._seconds,
        )
        write_atomically(path, (to_json(asdict(cost), indent=2) + "\n").encode())
