"""What all task modules share: checkpoints that run nothing, and a random state of their own."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from tests.tasks.conftest import small_emulation, small_trainer
from wsrl.data import ZooDataModule
from wsrl.encoders import LayerwiseStatistics
from wsrl.tasks import EmulationModule, PredictionModule


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("module", [EmulationModule, PredictionModule])
def test_a_checkpoint_with_code_in_it_does_not_run(
    module: type[EmulationModule | PredictionModule], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    torch.save({"state_dict": {}, "hyper_parameters": Payload(trap)}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad\.ckpt"):
        module.load_from_checkpoint(tmp_path / "bad.ckpt")
    assert not trap.exists()
    torch.load(tmp_path / "bad.ckpt", weights_only=False)  # the trap works
    assert trap.exists()


@pytest.mark.parametrize("key", ["hyper_parameters", "hparams", "module_arguments"])
def test_a_checkpoint_does_not_choose_what_makes_the_module(
    key: str, datamodule: ZooDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's own reader would parse the settings, and so import what they name."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "loud_script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    module = EmulationModule(LayerwiseStatistics, datamodule.spec, emulator_width=4)
    content = {"state_dict": module.state_dict(), "pytorch-lightning_version": "2.6.0"}
    content |= {"hyper_parameters": dict(module.hparams), "wsrl": {}}
    torch.save(content, tmp_path / "good.ckpt")
    EmulationModule.load_from_checkpoint(tmp_path / "good.ckpt")
    maker = {"_instantiator": "lightning.pytorch.cli.instantiate_module"}
    content[key] = dict(module.hparams) | maker | {"encoder": "loud_script.Encoder"}
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad\.ckpt is no checkpoint of a module of wsrl"):
        EmulationModule.load_from_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "ran").exists()


def draw() -> list[float]:
    return [random.random(), np.random.rand(), float(torch.rand(()))]  # noqa: NPY002


@pytest.mark.parametrize("what", ["fit", "validate", "test", "predict"])
def test_who_trains_or_evaluates_draws_on_as_before(
    what: str, datamodule: ZooDataModule, tmp_path: Path
) -> None:
    module, trainer = small_emulation(datamodule), small_trainer(tmp_path, num_sanity_val_steps=1)
    seen: list[list[float]] = []
    module.on_train_batch_end = module.on_validation_batch_end = lambda *_: seen.append(draw())
    drawn = []
    for seed in (1, 2):
        seed_everything(seed, verbose=False)
        expected = draw()
        seed_everything(seed, verbose=False)
        run: Any = getattr(trainer, what)
        run(module, datamodule=datamodule)
        assert draw() == expected
        drawn.append(expected)
    assert drawn[0] != drawn[1]
    if what in ("fit", "validate"):
        assert seen[0] not in drawn  # it does seed them
