"""Predicting angles, encoders that take what suits the zoo, and emulation of image classifiers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import wsrl
from wsrl.encoders import ConstantEmbedding, InteractiveProbing, NoninteractiveProbing
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.tasks.head import on_circle, to_degrees
from wsrl.tasks.metrics import prediction_metrics, update_prediction_metrics
from wsrl.zoos import BuildSettings, build_zoo
from wsrl.zoos.problems import TiledImages

SPEC = wsrl.RNNSpec("lstm", 3, 4, 1, 3).to_dict()
TARGETS = {"angle": {"kind": "angle", "parts": 1, "classes": 0}}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small zoo of digit classifiers."""
    path = tmp_path_factory.mktemp("zoos") / "digits"
    problem = TiledImages(evaluated_images=40, stored_sequences=3)
    settings = BuildSettings(
        runs=10, snapshots=(0, 10, 30), hidden_size=6, num_layers=1, batch_size=8
    )
    build_zoo(path, problem, settings, quiet=True)
    return path


def test_degrees_go_to_the_circle_and_back() -> None:
    degrees = torch.tensor([[0.0], [45.0], [180.0], [359.5]])
    points = on_circle(degrees)
    torch.testing.assert_close(points[1, 0], torch.full((2,), 0.5**0.5))
    torch.testing.assert_close(to_degrees(3 * points), degrees)
    assert torch.equal(to_degrees(torch.tensor([[1.0, -1e-9]])), torch.zeros(1))


def test_the_angular_error_goes_the_short_way_round() -> None:
    metrics = prediction_metrics("angle", 1)
    predicted = torch.tensor([[359.0], [10.0], [180.0]])
    target = torch.tensor([[2.0], [350.0], [0.0]])
    update_prediction_metrics(metrics, torch.zeros(3), predicted, target)
    assert float(metrics["angular_error"].compute()) == pytest.approx((3 + 20 + 180) / 3)


def test_an_angle_is_learned_across_the_wrap() -> None:
    """Targets on both sides of 0: their mean as numbers is 180, on the circle 0."""
    module = PredictionModule(
        "angle", TARGETS, SPEC, encoder=ConstantEmbedding, mode="scratch", learning_rate=0.02
    )
    target = torch.tensor([[350.0], [10.0]])
    weights = wsrl.RNNWeights(torch.randn(2, module.spec.num_parameters), module.spec)
    optimizer = module.configure_optimizers()
    for _ in range(200):
        loss = module._losses(module(module.embed(weights)), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error: Tensor = (module.predict(weights) + 180) % 360 - 180
    assert module(module.embed(weights)).shape == (2, 1, 2)
    assert error.abs().max() < 2


@pytest.mark.parametrize("encoder", [InteractiveProbing, NoninteractiveProbing])
def test_probing_suits_the_zoo_unless_told_otherwise(
    digits: Path, encoder: type[wsrl.Encoder]
) -> None:
    data = wsrl.ZooDataModule(str(digits))
    linked = {"spec": data.spec, "encoder_defaults": data.encoder_defaults}
    module = EmulationModule(encoder, **linked)
    options = module.encoder.config()["init_args"]
    assert (options["probing_length"], options["input_activation"]) == (17, "sigmoid")
    assert module.hparams["encoder"]["init_args"] == options  # a checkpoint says so by itself
    module = EmulationModule(partial(encoder, probing_length=5), **linked)
    options = module.encoder.config()["init_args"]
    assert (options["probing_length"], options["input_activation"]) == (5, "sigmoid")
    plain = EmulationModule(encoder, data.spec).encoder
    assert (plain.probing_length, plain.input_activation) == (22, "softmax")


def test_other_encoders_take_no_notice(digits: Path) -> None:
    data = wsrl.ZooDataModule(str(digits))
    module = EmulationModule(ConstantEmbedding, data.spec, encoder_defaults=data.encoder_defaults)
    assert module.encoder.config()["init_args"] == {"embedding_dim": 16}
