from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tests.tasks.conftest import SMALL_ENCODER, small_trainer
from wsrl.data import ZooBatch, ZooDataModule
from wsrl.encoders import FlattenedWeights, ParameterTransformer
from wsrl.encoders.base import normalized
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.tasks.heads import RunningScale
from wsrl.tasks.prediction import FIXED, FRESH, MODES

TRANSFORMER = partial(ParameterTransformer, embedding_dim=4, width=8, depth=1)


def prediction(datamodule: ZooDataModule, target: str = "task", **options: Any) -> PredictionModule:
    return PredictionModule(
        target, datamodule.targets, datamodule.spec, **({"head_width": 16} | options)
    )


def scratch(datamodule: ZooDataModule, target: str = "task", **options: Any) -> PredictionModule:
    return prediction(datamodule, target, encoder=SMALL_ENCODER, mode="scratch", **options)


def copy_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: torch.nn.Module) -> bool:
    return all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_says_where_the_encoder_is_from_and_whether_it_is_trained(
    datamodule: ZooDataModule, emulation_checkpoint: Path, tmp_path: Path, mode: str
) -> None:
    source, path = tmp_path / "pretrained.ckpt", tmp_path / "prediction.ckpt"
    shutil.copy(emulation_checkpoint, source)

    def make(seed: int) -> PredictionModule:
        torch.manual_seed(seed)
        given = {"encoder": TRANSFORMER} if mode in FRESH else {"pretrained": str(source)}
        return prediction(datamodule, mode=mode, **given)

    module, is_trained = make(5).train(), mode not in FIXED
    first, head = copy_of(module.encoder), copy_of(module.head)
    assert same(first, make(5).encoder)
    assert same(first, make(6).encoder) is (mode not in FRESH)
    emulation = EmulationModule.load_from_checkpoint(emulation_checkpoint)
    assert mode in FRESH or same(first, emulation.encoder)
    assert module.head.training
    assert {part.training for part in module.encoder.modules()} == {is_trained}  # as its dropout
    batch = next(iter(datamodule.val_dataloader()[0]))
    assert normalized(module.encoder, batch.weights).requires_grad is is_trained
    trainer = small_trainer(tmp_path)
    trainer.fit(module, datamodule=datamodule)
    assert same(first, module.encoder) is not is_trained
    assert not same(head, module.head)
    # A checkpoint needs neither arguments nor the pretrained file.
    trainer.save_checkpoint(path)
    source.unlink()
    hparams = torch.load(path, weights_only=True)["hyper_parameters"]
    assert json.loads(json.dumps(hparams)) == hparams
    loaded = PredictionModule.load_from_checkpoint(path)
    assert loaded.mode == mode
    assert same(copy_of(module), loaded)
    small_trainer(tmp_path).fit(loaded, datamodule=datamodule)
    assert same(copy_of(module.encoder), loaded.encoder) is not is_trained
    resumed, further = PredictionModule(**hparams), small_trainer(tmp_path, max_epochs=2)
    further.fit(resumed, datamodule=datamodule, ckpt_path=path, weights_only=True)
    assert same(copy_of(module.encoder), resumed.encoder) is not is_trained


LEARNED = [
    ("task", {"class_loss": "binary_cross_entropy"}),
    ("task", {"class_loss": "cross_entropy"}),
    ("performance", {}),
]


@pytest.mark.parametrize(("target", "options"), LEARNED)
def test_training_learns_classes_and_values_of_any_unit(
    target: str, options: dict[str, str], datamodule: ZooDataModule, tmp_path: Path
) -> None:
    batch = next(iter(datamodule.val_dataloader()[0]))
    if target == "performance":
        batch.targets[target] = 500 + 40 * batch.targets[target]
    module, wanted = scratch(datamodule, target, learning_rate=1e-2, **options), batch.targets
    assert not torch.equal(module.predict(batch.weights), wanted[target])
    repeat(module, batch, 150, tmp_path)
    error = (module.predict(batch.weights) - wanted[target]).abs().float()
    assert error.mean() < 0.1 * wanted[target].float().std() * (target == "performance") + 1e-9


def repeat(module: PredictionModule, batch: ZooBatch, steps: int, folder: Path) -> None:
    loader = DataLoader([batch] * steps, batch_size=None)
    small_trainer(folder).fit(module, train_dataloaders=loader)
    module.eval()


NAMES = {
    "task": {"loss", "exact_match", "part_accuracy"},
    "step": {"loss", "exact_match", "part_accuracy"},
    "performance": {"loss", "mae", "r2", "kendall_tau"},
}


@pytest.mark.parametrize("target", NAMES)
def test_every_target_is_trained_measured_and_predicted(
    datamodule: ZooDataModule, tmp_path: Path, target: str
) -> None:
    module, trainer = scratch(datamodule, target), small_trainer(tmp_path)
    trainer.fit(module, datamodule=datamodule)
    wanted = {f"{split}/{name}" for split in ("validation", "ood") for name in NAMES[target]}
    assert {name for name in trainer.callback_metrics if "train" not in name} == wanted
    part: Any = trainer.predict(module, datamodule=datamodule)[1][0]
    assert set(part) == {"prediction", "embedding", "run", "step", "task", "performance", "row"}
    assert part["prediction"].is_floating_point() is (target == "performance")
    assert part["prediction"].shape == (len(part["row"]), module.kind.parts)


def test_contradictions_are_errors(
    datamodule: ZooDataModule, emulation_checkpoint: Path, tmp_path: Path
) -> None:
    path = str(emulation_checkpoint)
    fresh = {"mode": "scratch", "encoder": SMALL_ENCODER}
    for options, reason in [
        ({"target": "nope", **fresh}, "unknown target 'nope'; choose one of task, performance"),
        ({"mode": "nope"}, "unknown mode 'nope'; choose one of frozen"),
        ({"class_loss": "nope", **fresh}, "choose one of binary_cross_entropy"),
        ({"mode": "frozen"}, "needs `pretrained`"),
        ({"mode": "finetune"}, "needs `pretrained`"),
        ({"mode": "scratch"}, "'scratch' needs an `encoder`"),
        ({"mode": "untrained"}, "'untrained' needs an `encoder`"),
        ({**fresh, "pretrained": path}, "starts from random weights, but pretrained="),
        ({"encoder": FlattenedWeights, "pretrained": path}, "two different encoders"),
        ({"head_layers": -1, **fresh}, "head_layers"),
    ]:
        with pytest.raises(ValueError, match=reason):
            prediction(datamodule, **options)
    prediction(datamodule, encoder=SMALL_ENCODER, pretrained=path)  # the same one is no error
    module = prediction(datamodule, mode="frozen", encoder=SMALL_ENCODER)
    with pytest.raises(ValueError, match="needs `pretrained`"):
        small_trainer(tmp_path).fit(module, datamodule=datamodule)


def test_bad_checkpoints_are_errors(
    datamodule: ZooDataModule, emulation_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="`pretrained`: no file at missing"):
        prediction(datamodule, pretrained="missing.ckpt")
    spec = datamodule.spec | {"hidden_size": 9}
    with pytest.raises(ValueError, match=r"was made for RNNs \(lstm 2x6.*these are \(lstm 2x9"):
        PredictionModule("task", datamodule.targets, spec, pretrained=str(emulation_checkpoint))
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        prediction(datamodule, pretrained=str(bad))
    for hyper_parameters in ({}, dict(scratch(datamodule).hparams)):
        torch.save({"state_dict": {}, "hyper_parameters": hyper_parameters}, bad)
        with pytest.raises(ValueError, match="not a checkpoint of an EmulationModule"):
            prediction(datamodule, pretrained=str(bad))


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", None)])
def test_the_trainer_can_clip_in_mixed_precision_too(
    datamodule: ZooDataModule, tmp_path: Path, precision: Any, fused: bool | None
) -> None:
    trainer = small_trainer(tmp_path, precision=precision, gradient_clip_val=0.5)
    trainer.fit(scratch(datamodule), datamodule=datamodule)
    assert trainer.optimizers[0].defaults["fused"] is fused


def test_running_scale_is_that_of_all_values() -> None:
    values = torch.randn(40, 3, dtype=torch.float64) * torch.tensor([1, 10, 0.1]) + 5
    scale = RunningScale(3).double()
    for part in values.split([1, 7, 20, 12]):
        scale.update(part)
    torch.testing.assert_close(scale.mean, values.mean(0))
    torch.testing.assert_close(scale.variance, values.var(0, correction=0))
    torch.testing.assert_close(scale.restore(scale.standardise(values)[..., None])[..., 0], values)
