"""The learning rate's warm-up, for either task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from tests.tasks.conftest import SMALL_ENCODER, small_emulation, small_trainer
from wsrl.data import ZooDataModule
from wsrl.tasks import EmulationModule, PredictionModule, TaskModule

RATE = 0.01


class Rates(Callback):
    """Notes the learning rate that every step uses."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Any) -> None:
        self.used.append(optimizer.param_groups[0]["lr"])


def make(kind: type[TaskModule], datamodule: ZooDataModule, warmup_steps: int) -> TaskModule:
    torch.manual_seed(0)
    options: dict[str, Any] = {"learning_rate": RATE, "warmup_steps": warmup_steps}
    if kind is EmulationModule:
        return small_emulation(datamodule, clone_rnns=0, **options)
    given = (datamodule.targets, datamodule.spec, SMALL_ENCODER)
    return PredictionModule("task", *given, mode="scratch", **options)


def fit(
    module: TaskModule, datamodule: ZooDataModule, folder: Path, steps: int, **options: Any
) -> Rates:
    rates = Rates()
    trainer = small_trainer(
        folder, max_epochs=-1, max_steps=steps, limit_val_batches=0, callbacks=[rates]
    )
    trainer.fit(module, datamodule=datamodule, weights_only=True, **options)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return rates


def same_weights(one: TaskModule, other: TaskModule) -> bool:
    found = other.state_dict()
    return all(torch.equal(found[name], value) for name, value in one.state_dict().items())


every_task = pytest.mark.parametrize("kind", [EmulationModule, PredictionModule])


@every_task
def test_the_rate_rises_linearly_and_stays(
    kind: type[TaskModule], datamodule: ZooDataModule, tmp_path: Path
) -> None:
    used = fit(make(kind, datamodule, 4), datamodule, tmp_path, 7).used
    assert used == pytest.approx([RATE * min(step / 5, 1) for step in range(1, 8)])
    assert fit(make(kind, datamodule, 0), datamodule, tmp_path, 7).used == [RATE] * 7


@every_task
def test_a_run_interrupted_in_its_warmup_goes_on_bit_for_bit(
    kind: type[TaskModule], datamodule: ZooDataModule, tmp_path: Path
) -> None:
    straight = make(kind, datamodule, 5)
    fit(straight, datamodule, tmp_path, 7)
    path = tmp_path / "2.ckpt"
    fit(make(kind, datamodule, 5), datamodule, tmp_path, 2)
    resumed = kind.load_from_checkpoint(path)
    assert resumed.warmup_steps == 5
    fit(resumed, datamodule, tmp_path, 7, ckpt_path=path)
    assert same_weights(resumed, straight)
    # Had the scheduler forgotten its steps, the rate would rise for longer.
    content = torch.load(path, weights_only=True)
    content["lr_schedulers"][0]["last_epoch"] = 0
    torch.save(content, path)
    again = kind.load_from_checkpoint(path)
    fit(again, datamodule, tmp_path, 7, ckpt_path=path)
    assert not same_weights(again, straight)


@every_task
def test_a_negative_warmup_is_an_error(kind: type[TaskModule], datamodule: ZooDataModule) -> None:
    with pytest.raises(ValueError, match="warmup_steps must be at least 0, not -1"):
        make(kind, datamodule, -1)
