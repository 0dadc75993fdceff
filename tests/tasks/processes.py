"""What each of several processes does for ``test_processes``: train and measure small modules."""

from __future__ import annotations

import os
import socket
import warnings
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from tests.encoders.encoder_cases import SMALL
from tests.tasks.conftest import small_emulation, small_trainer
from tests.waiting import until
from wsrl.data import ZooDataModule
from wsrl.encoders import create_encoder, list_encoders
from wsrl.tasks import PredictionModule, TaskModule

Results: TypeAlias = dict[str, dict[str, torch.Tensor]]
"""Tensors by name, by what was run."""

MODES = {"frozen": "task", "finetune": "performance", "scratch": "angle"}
"""What a prediction of each mode reads: classes, a number, a number on a circle."""

DRAWN = "InteractiveProbing"
"""The encoder whose emulation writes to TensorBoard, and that properties are predicted from."""

TRAINED = [(name, "emulation") for name in list_encoders()] + [(DRAWN, mode) for mode in MODES]
"""All encoders that are there before any test adds one."""


class FirstGradients(Callback):
    """Keeps the gradients of the first step, before anything clips them."""

    def __init__(self) -> None:
        self.kept: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        if not self.kept:
            named = pl_module.named_parameters()
            self.kept = {n: p.grad.clone() for n, p in named if p.grad is not None}


def small_data(zoo: str, seed: int = 0, stage_to: str | None = None) -> ZooDataModule:
    """Splits of 3 and 15 RNNs: one leaves a process without any, the other is odd."""
    sizes = {"batch_size": 8, "steps_per_epoch": 3, "eval_batch_size": 4, "test_fraction": 0.1}
    return ZooDataModule(zoo, **sizes, seed=seed, stage_to=stage_to)


def make_module(name: str, task: str, data: ZooDataModule, pretrained: Path) -> TaskModule:
    """Make an emulation or a prediction for one encoder, the same in every process."""
    torch.manual_seed(0)
    encoder = partial(create_encoder, name, embedding_dim=6, **SMALL.get(name, {}))
    module: TaskModule
    if task == "emulation":
        module = small_emulation(data, encoder=encoder, learning_rate=1e-2, figures=name == DRAWN)
    else:
        angle = {"performance": {"kind": "angle", "parts": 1, "classes": 0, "period": 360.0}}
        target, targets = MODES[task], data.targets
        target, targets = ("performance", angle) if target == "angle" else (target, targets)
        source = {"encoder": encoder} if task == "scratch" else {"pretrained": str(pretrained)}
        module = PredictionModule(target, targets, data.spec, mode=task, **source)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # each process has its own
    return module


def processes_trainer(folder: Path, processes: int, **options: Any) -> Trainer:
    strategy = "ddp" if processes > 1 else "auto"
    options = {"devices": processes, "strategy": strategy, "precision": "64-true"} | options
    return small_trainer(folder, **options)


def train(
    zoo: str, folder: Path, processes: int, name: str, task: str, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Train for three steps; return what was logged, the first gradients and the parameters."""
    data = small_data(zoo, seed)
    pretrained = folder / f"{name}-{processes}.ckpt"
    module, gradients = make_module(name, task, data, pretrained), FirstGradients()
    drawn = (name, task) == (DRAWN, "emulation")
    logger = TensorBoardLogger(folder / f"logs-{processes}", "", "") if drawn else False
    options = {"callbacks": [gradients], "logger": logger, "log_every_n_steps": 1}
    trainer = processes_trainer(folder, processes, **options)
    trainer.fit(module, datamodule=data)
    if task == "emulation":
        trainer.save_checkpoint(pretrained)
    return {
        **{f"logged {known}": value for known, value in trainer.callback_metrics.items()},
        **{f"gradient {known}": value for known, value in gradients.kept.items()},
        **{f"parameter {known}": value for known, value in module.state_dict().items()},
    }


def evaluate(zoo: str, folder: Path, processes: int) -> dict[str, torch.Tensor]:
    """Evaluate untrained modules; several processes on a copy of the zoo."""
    measured = {}
    for task in ("emulation", "scratch"):
        data = small_data(zoo, stage_to=str(folder / "disk") if processes > 1 else None)
        module = make_module("FlattenedWeights", task, data, folder)
        trainer = processes_trainer(folder, processes)
        trainer.test(module, datamodule=data, verbose=False)
        measured |= {f"{task} {name}": value for name, value in trainer.callback_metrics.items()}
    return measured


def train_all(zoo: str, folder: Path, processes: int) -> Results:
    return {f"{n} {task}": train(zoo, folder, processes, n, task) for n, task in TRAINED}


def meet(rank: int, folder: Path) -> None:
    """Have the first process choose a free port, at the last moment, and the others read it."""
    folder.mkdir(exist_ok=True)
    if rank == 0:
        with socket.create_server(("127.0.0.1", 0)) as free:
            (folder / "chosen").write_text(str(free.getsockname()[1]))
        (folder / "chosen").rename(folder / "port")
    until((folder / "port").exists)
    os.environ["MASTER_PORT"] = (folder / "port").read_text()


def work(rank: int, zoo: str, folder: Path) -> None:
    """Train on two processes, then evaluate on three."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "LOCAL_RANK": str(rank)}
    if rank < 2:
        meet(rank, folder / "two")
        results = train_all(zoo, folder, 2)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    meet(rank, folder / "three")
    evaluated = evaluate(zoo, folder, 3)
    if rank == 0:
        torch.save(results | {"evaluation": evaluated}, folder / "results.pt")
