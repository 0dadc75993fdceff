"""Predicting angles, encoders that take what suits the zoo, and emulation of image classifiers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import wsrl
from wsrl.encoders import ConstantEmbedding, InteractiveProbing, NoninteractiveProbing
from wsrl.encoders.base import normalized
from wsrl.problems import TiledImages
from wsrl.tasks import EmulationModule, PredictionModule

SPEC = wsrl.RNNSpec("lstm", 3, 4, 1, 3).to_dict()
TARGETS = {"angle": {"kind": "angle", "parts": 1, "classes": 0, "period": 360.0}}


def test_an_angle_is_learned_across_the_wrap() -> None:
    """Targets on both sides of 0: their mean as numbers is 180, on the circle 0."""
    module = PredictionModule(
        "angle", TARGETS, SPEC, encoder=ConstantEmbedding, mode="scratch", learning_rate=0.02
    )
    target = torch.tensor([[350.0], [10.0]])
    weights = wsrl.RNNWeights(torch.randn(2, module.spec.num_parameters), module.spec)
    optimizer = module.configure_optimizers()
    for _ in range(200):
        loss = module._losses(module(normalized(module.encoder, weights)), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error: Tensor = (module.predict(weights) + 180) % 360 - 180
    assert module(normalized(module.encoder, weights)).shape == (2, 1, 2)
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
    short = EmulationModule(partial(encoder, probing_length=5), **linked).encoder
    assert (short.probing_length, short.input_activation) == (5, "sigmoid")
    plain = EmulationModule(encoder, data.spec).encoder
    assert (plain.probing_length, plain.input_activation) == (22, "softmax")
    other = EmulationModule(ConstantEmbedding, **linked)  # has no such options
    assert other.encoder.config()["init_args"] == {"embedding_dim": 16}


def test_every_target_can_be_trained_and_is_what_its_name_says(digits: Path) -> None:
    data = wsrl.ZooDataModule(str(digits), batch_size=4, in_memory=True, steps_per_epoch=2)
    zoo = data.zoo
    wanted = {
        "angle": zoo.read("task")[:, 0],
        "angle_as_number": zoo.read("task")[:, 0],
        "performance": zoo.read("performance"),
        "generalization_gap": zoo.read("validation_loss") - zoo.read("training_loss"),
        "weight_decay": zoo.read("weight_decay"),
        "step": zoo.read("step"),
    }
    assert set(data.targets) == set(wanted)
    batch = next(iter(data.train_dataloader()))
    for name, target in zoo.problem.targets(zoo.steps).items():
        found = batch.targets[name][:, 0].double()
        if target.kind == "classes":
            found = torch.tensor(target.values, dtype=torch.float64)[found.long()]
        torch.testing.assert_close(found, wanted[name][batch.row].double(), rtol=1e-6, atol=1e-6)
        module = PredictionModule(
            name, data.targets, data.spec, encoder=ConstantEmbedding, mode="scratch"
        )
        losses = module._losses(
            module(normalized(module.encoder, batch.weights)), batch.targets[name]
        )
        assert losses.shape == (4,)
        assert losses.isfinite().all()


def test_clones_are_scored_on_validation_images_of_their_own_angle(digits: Path) -> None:
    problem = wsrl.open_zoo(digits).problem
    assert isinstance(problem, TiledImages)
    tasks = torch.tensor([[20.0], [200.0]], dtype=torch.float64)
    images = problem.images.validation
    known = problem.sequences(images[None], tasks[:, 0]).flatten(2)
    seen = []

    def run(inputs: Tensor, state: object) -> tuple[Tensor, object]:
        seen.append(inputs.flatten(2))
        return torch.eye(10)[0].expand(*inputs.shape[:3], 10), state  # always 0

    scores = problem.clone_scores(run, tasks, 30, [torch.Generator() for _ in tasks])
    for asked, among, score in zip(seen[0], known, scores, strict=True):
        same = (asked[:, None] == among).all(-1)
        assert same.any(1).all()
        right = (problem.images.labels[images][same.int().argmax(1)] == 0).double().mean()
        assert float(score) == pytest.approx(float(right))


def test_what_is_known_keeps_its_precision(digits: Path) -> None:
    batch = next(iter(wsrl.ZooDataModule(str(digits)).val_dataloader()[0]))
    half = batch.to(dtype=torch.bfloat16)
    assert half.inputs.dtype == half.weights.flat.dtype == torch.bfloat16
    assert torch.equal(half.task, batch.task)
    assert torch.equal(half.targets["angle"], batch.targets["angle"])
    assert batch.to(dtype=torch.float64).task.dtype == torch.float64
