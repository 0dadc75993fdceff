"""Inspection beside zoos of images, and of a user's own RNNs with their table."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.studies.conftest import EMULATION, fit
from wsrl.problems import TiledImages
from wsrl.rnn import RNNWeights
from wsrl.studies.inspection import Inspector
from wsrl.studies.inspection.records import render
from wsrl.zoos import BuildSettings, build_zoo, open_zoo, pack_zoo


def trained(folder: Path, loss: str, *options: str) -> Inspector:
    """Train an encoder on ``folder/zoo``, hardly."""
    config = copy.deepcopy(EMULATION)
    model = config["model"]["init_args"]
    assert isinstance(model, dict)
    model |= {"encoder": "LayerwiseStatistics", "loss": loss}
    config["trainer"] |= {"max_steps": 4}
    config["data"] |= {"steps_per_epoch": 4}
    fit(folder, "run", config, *options)
    return Inspector(folder / "run")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    folder = tmp_path_factory.mktemp("images")
    problem = TiledImages(source="digits", stored_sequences=4, evaluated_images=200)
    settings = BuildSettings(
        runs=12,
        snapshots=(0, 500),
        hidden_size=16,
        num_layers=1,
        group_size=12,
        learning_rates=((0, 0.02), (500, 0.005)),
    )
    build_zoo(folder / "zoo", problem, settings, quiet=True)
    return trained(folder, "kl")


def test_the_angle_of_images_is_measured(images: Inspector) -> None:
    zoo = images.zoo
    performance, task = zoo.read("performance"), zoo.read("task")[:, 0]
    row = int(performance.argmax())
    found = images.inspect(RNNWeights(zoo.read("weights", torch.tensor([row])), zoo.spec))
    assert found.skill.performs is True
    assert found.skill.score > float(performance[row]) - 0.1
    apart = abs((found.skill.task[0] - float(task[row]) + 180) % 360 - 180)
    assert apart < 45
    assert "classifies images rotated by" in found.skill.text
    assert found.imitation.own is None  # who sees images does not write any
    by_name = {each.name: each for each in found.properties}
    assert by_name["angle"].kind == "angle"
    assert "angle_as_number" not in by_name  # the same column again
    assert 0 <= by_name["angle"].values[0] < 360
    json.dumps(found.to_dict(), allow_nan=False)
    untrained = zoo.read("weights", torch.tensor([int(zoo.read("step").argmin())]))
    assert images.inspect(RNNWeights(untrained, zoo.spec)).skill.performs is False


def test_packed_rnns_have_the_properties_of_their_table(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    lines = ["file,animal,weight"]
    for number in range(12):
        parts = nn.ModuleDict({"rnn": nn.GRU(3, 4), "readout": nn.Linear(4, 2)})
        torch.save(parts.state_dict(), tmp_path / f"models/{number}.pt")
        lines.append(f"{number}.pt,{'mouse' if number % 2 else 'rat'},{number}")
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    pack_zoo(
        tmp_path / "models",
        tmp_path / "zoo",
        output_kind="real",
        inputs="normal",
        table=tmp_path / "runs.csv",
        length=10,
    )
    inspector = trained(tmp_path, "mean_squared_error")
    found = inspector.inspect(tmp_path / "models/3.pt")
    by_name = {each.name: each for each in found.properties}
    assert by_name["animal"].values[0] in ("mouse", "rat")
    assert "too few RNNs for an interval" in by_name["weight"].text
    assert found.to_dict()["properties"]["weight"]["high"] == [None]
    assert found.fit.verdict == "unknown"  # validation has 2 RNNs
    assert found.neighbours[0].distance < 1e-5
    row = found.neighbours[0].row
    assert open_zoo(tmp_path / "zoo").read("run")[row] == found.neighbours[0].run
    assert found.skill.performs is None
    assert "not measured" in render(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_without_held_out_rnns_nothing_is_promised(zoo_path: Path, tmp_path: Path) -> None:
    (tmp_path / "zoo").symlink_to(zoo_path)
    inspector = trained(tmp_path, "kl", "--data.split_by", "nothing")
    found = inspector.inspect(inspector.zoo.read_weights(torch.tensor([0])))
    properties = found.to_dict()["properties"]
    assert properties["performance"]["high"] == properties["performance"]["low"] == [None]
    assert properties["task"]["exact"] is None
    assert "nan%" not in render(found)
