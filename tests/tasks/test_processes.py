"""Several processes give the answers of one: gradients, metrics and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from tests.encoders.encoder_cases import SMALL
from tests.tasks.conftest import SMALL_ENCODER, small_emulation, small_trainer
from wsrl.data import ZooDataModule
from wsrl.encoders import SampledProbing, create_encoder, list_encoders
from wsrl.tasks import PredictionModule, TaskModule

ANGLE = {"performance": {"kind": "angle", "parts": 1, "classes": 0, "period": 360.0}}
MODES = {  # what a prediction reads, and metrics that it has
    "frozen": ("task", ["exact_match", "part_accuracy", "loss"]),
    "finetune": ("performance", ["mae", "r2", "kendall_tau"]),
    "scratch": ("performance", ["angular_error"]),
}
DRAWN = "InteractiveProbing"
"""The encoder whose emulation writes to TensorBoard."""


def data_of(zoo: Path, **options: Any) -> ZooDataModule:
    """Splits of 3 and 15 RNNs: one leaves a process without any, the other is odd."""
    sizes = {"batch_size": 8, "steps_per_epoch": 3, "eval_batch_size": 4, "test_fraction": 0.1}
    return ZooDataModule(str(zoo), **(sizes | options))


def trainer_of(folder: Path, processes: int, **options: Any) -> Trainer:
    """In float64, which leaves no difference but the order of sums."""
    strategy = "ddp_fork" if processes > 1 else "auto"
    options = {"devices": processes, "strategy": strategy, "precision": "64-true"} | options
    return small_trainer(folder, log_every_n_steps=1, **options)


def emulation(data: ZooDataModule, name: str) -> TaskModule:
    torch.manual_seed(0)
    encoder = partial(create_encoder, name, embedding_dim=6, **SMALL.get(name, {}))
    return small_emulation(data, encoder=encoder, learning_rate=1e-2, figures=name == DRAWN)


def prediction(data: ZooDataModule, mode: str, pretrained: Path) -> TaskModule:
    torch.manual_seed(0)
    source = {"pretrained": str(pretrained)} if mode != "scratch" else {"encoder": SMALL_ENCODER}
    targets = ANGLE if mode == "scratch" else data.targets
    return PredictionModule(MODES[mode][0], targets, data.spec, mode=mode, **source)


def train(trainer: Trainer, module: TaskModule, data: ZooDataModule) -> dict[str, Tensor]:
    """Train for three steps; return what was logged, and the weights."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # each process has its own
        if isinstance(part, SampledProbing):
            part.eval()  # in training each process draws its own
    trainer.fit(module.double(), datamodule=data)
    return {**trainer.callback_metrics, **module.state_dict()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        allowed = 1e-6 if "/" in name else 1e-9  # what metrics collect is float32
        torch.testing.assert_close(
            *(each.double() for each in (found[name], value)),
            rtol=allowed,
            atol=allowed,
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("name", list_encoders())
def test_two_processes_pretrain_and_measure_like_one(
    name: str, zoo_path: Path, tmp_path: Path
) -> None:
    found, written = [], []
    for processes in (1, 2):
        data, folder = data_of(zoo_path), tmp_path / str(processes)
        logger = TensorBoardLogger(folder, "", "") if name == DRAWN else False
        trainer = trainer_of(folder, processes, logger=logger)
        found.append(train(trainer, emulation(data, name), data))
        for file in folder.rglob("events.out.tfevents.*"):
            events = EventAccumulator(str(file), {"images": 0, "scalars": 0}).Reload()
            images = {tag: [e.step for e in events.Images(tag)] for tag in events.Tags()["images"]}
            losses = [(e.step, pytest.approx(e.value)) for e in events.Scalars("train/loss")]
            written.append((images, losses))
    assert_same(*found)
    metrics = ["shuffled_total_variation", "shuffled_reverse_kl", "clone_difference"]
    assert {f"ood/{metric}" for metric in metrics} | {"train/loss"} < found[0].keys()
    if name == DRAWN:  # one process alone writes
        one, two = written
        assert one == two
        assert one[0] == {name: [3] for name in ("outputs", "probing", "embeddings")}
        assert [step for step, _ in one[1]] == [0, 1, 2]
        data = data_of(zoo_path, seed=1)  # the negative partner
        other = train(trainer_of(tmp_path, 1), emulation(data, name), data)
        with pytest.raises(AssertionError):
            assert_same(other, found[0])


@pytest.mark.parametrize(
    ("name", "draw"), [("FreeRunningProbing", "evenly"), ("NeuronGraph", "proportion")]
)
def test_two_processes_pretrain_on_a_collection_like_one(
    name: str, draw: str, collection_path: Path, tmp_path: Path
) -> None:
    found, options = [], {"draw": draw, "test_fraction": 0.0}
    for processes in (1, 2):
        data = data_of(collection_path, **options)
        found.append(train(trainer_of(tmp_path, processes), emulation(data, name), data))
    assert len(data.zoo.specs) > 1
    assert_same(*found)
    data = data_of(collection_path, **options, seed=1)  # the negative partner
    drawn = train(trainer_of(tmp_path, 1), emulation(data, name), data)
    with pytest.raises(AssertionError):
        assert_same(drawn, found[0])


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_predict_like_one(
    mode: str, zoo_path: Path, emulation_checkpoint: Path, tmp_path: Path
) -> None:
    found = []
    for processes in (1, 2):
        data = data_of(zoo_path)
        module = prediction(data, mode, emulation_checkpoint)
        found.append(train(trainer_of(tmp_path, processes), module, data))
    assert_same(*found)
    assert {f"validation/{metric}" for metric in MODES[mode][1]} < found[0].keys()


@pytest.mark.parametrize("task", ["emulation", "prediction"])
def test_three_processes_evaluate_like_one(task: str, zoo_path: Path, tmp_path: Path) -> None:
    found = []
    for processes in (1, 3):  # several on one copy of the zoo
        data = data_of(zoo_path, stage_to=str(tmp_path / "disk") if processes > 1 else None)
        module = prediction(data, "scratch", tmp_path)
        module = emulation(data, "FlattenedWeights") if task == "emulation" else module
        trainer = trainer_of(tmp_path, processes)
        trainer.test(module, datamodule=data, verbose=False)
        found.append(dict(trainer.callback_metrics))
    assert_same(*found)
    wanted = "clone_score" if task == "emulation" else "loss"
    assert {f"{split}/{wanted}" for split in ("validation", "ood", "test")} <= found[0].keys()
    assert len(list((tmp_path / "disk").iterdir())) == 1
