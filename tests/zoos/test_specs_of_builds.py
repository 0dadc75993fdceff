"""Zoos of RNNs with more than a cell and a linear readout: trained, resumed, read, used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from tests.conftest import SMALL_PROBLEM
from tests.rnn.test_cell_equations import STEPS, loop
from wsrl.cli import main
from wsrl.problems import Batch, FormalLanguages, TrainingStream
from wsrl.rnn import RNNWeights
from wsrl.rnn.cells.activations import ACTIVATIONS
from wsrl.zoos import BuildSettings, ZooError, build_zoo, open_zoo, verify_zoo
from wsrl.zoos.group import Group
from wsrl.zoos.optimizer import PopulationAdamW

PROBLEM = FormalLanguages(**SMALL_PROBLEM)
MORE: dict[str, Any] = {
    "input_width": 3,
    "input_bias": True,
    "readout_widths": (7, 6),
    "readout_activation": "tanh",
    "initial_state": True,
}
DALE = "leaky(nonlinearity='relu', leak='neuron', constraint='dale')"
FIXED = {"mask", "sign"}
Run = Callable[[Tensor], Tensor]


def settings_of(cell: str, **more: Any) -> BuildSettings:
    given = {"runs": 4, "snapshots": (0, 3, 6), "hidden_size": 5, "num_layers": 1, "group_size": 2}
    return BuildSettings(**{**given, "cell": cell, **MORE, **more})


class InDouble(TrainingStream):
    def __init__(self, stream: TrainingStream) -> None:
        self._stream = stream

    def batch(self, step: int) -> Batch:
        batch = self._stream.batch(step)
        return Batch(batch.inputs.double(), batch.targets, batch.weights.double())


def in_double(settings: BuildSettings) -> Group:
    group = Group(PROBLEM, settings.spec(PROBLEM), settings, [0, 1], torch.device("cpu"), "eager")
    group.flat, group.data = group.flat.double(), InDouble(group.data)
    group.bounded = []  # views of the numbers in single precision
    group.optimizer = PopulationAdamW(group.flat, settings.weight_decay, "eager")
    return group


def weights(group: Group) -> RNNWeights:
    return RNNWeights(group.flat.detach(), group.spec)


def by_torch(group: Group, member: int) -> tuple[dict[str, Tensor], Run]:
    module = weights(group).to_module(member)
    return dict(module.named_parameters()), lambda inputs: module(inputs)[0]


def by_equations(group: Group, member: int) -> tuple[dict[str, Tensor], Run]:
    spec = group.spec
    named = {
        name: value[member].detach().clone() for name, value in weights(group).tensors().items()
    }
    trained = {t.name: named[t.name].requires_grad_() for t in spec.tensors if t.trained}

    def run(inputs: Tensor) -> Tensor:
        states = [named[f"initial.{part}_l0"][None] for part in spec.kind.state]
        values = functional.linear(inputs, named["input.weight"], named["input.bias"])
        core = {name: v for name, v in named.items() if not name.startswith("initial")}
        values = torch.stack([loop(spec.cell, core, sequence, states, 1) for sequence in values])
        for layer in (1, 2):
            weight, bias = named[f"readout_{layer}.weight"], named[f"readout_{layer}.bias"]
            values = functional.linear(ACTIVATIONS[spec.readout_activation](values), weight, bias)
        return values

    return trained, run


@pytest.mark.parametrize("cell", ["lstm", *list(STEPS)[::2]])  # every second: it takes a while
def test_training_is_that_of_a_loop_over_rnns(cell: str) -> None:
    """Clipped gradients reach all that is trained, and AdamW changes nothing else."""
    settings = settings_of(cell, batch_size=2, weight_decay=0.3, clip_norm=0.05)
    group = in_double(settings)
    start = {name: value.clone() for name, value in weights(group).tensors().items()}
    optimizers: list[torch.optim.AdamW] = []
    reference = by_equations if cell in STEPS else by_torch
    models = [reference(group, member) for member in range(2)]
    for step in range(3):
        for member, (named, run) in enumerate(models):
            batch, leaves = group.data.batch(step), list(named.values())
            outputs = run(batch.inputs[member])
            targets = batch.targets[member]
            each = functional.cross_entropy(outputs.mT, targets, reduction="none").mean(1)
            loss = (each * batch.weights[member]).sum()
            if step == 0:
                decay = settings.weight_decay
                optimizers.append(torch.optim.AdamW(leaves, weight_decay=decay))
            optimizers[member].param_groups[0]["lr"] = settings.learning_rate(step)
            optimizers[member].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(leaves, 0.05)
            optimizers[member].step()
        group._train_step()
    now = weights(group).tensors()
    for tensor in group.spec.tensors:
        value = now[tensor.name].detach()
        if tensor.trained:
            theirs = torch.stack([named[tensor.name].detach() for named, _ in models])
            torch.testing.assert_close(value, theirs, rtol=1e-7, atol=1e-9, msg=tensor.name)
        assert (value != start[tensor.name]).any() == tensor.trained, tensor.name


def test_leaks_stay_where_they_have_a_gradient() -> None:
    """They end on a bound, where training can turn them back; without it far outside."""
    settings = settings_of(DALE, learning_rates=[(0, 0.5)])
    bounds = []
    for bounded in (True, False):
        group = Group(PROBLEM, settings.spec(PROBLEM), settings, [0, 1], torch.device("cpu"))
        group.bounded = group.bounded if bounded else []
        for _ in range(5):
            group._train_step()
        alpha = weights(group).tensors()["rnn.alpha_l0"].detach()
        bounds.append((float(alpha.min()), float(alpha.max())))
    assert 0 <= bounds[0][0] < bounds[0][1] <= 1
    assert bounds[1][0] < 0 or bounds[1][1] > 1


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_leaky_rnns_of_128_neurons_learn(nonlinearity: str) -> None:
    """Within 40 steps, since what they read of few inputs does not shrink with their size."""
    cell = f"leaky(nonlinearity={nonlinearity!r})"
    settings = BuildSettings(runs=2, cell=cell, hidden_size=128, num_layers=1)
    losses = []
    for factor in (1, (128 / PROBLEM.input_size) ** -0.5):
        members = [0, 1]
        group = Group(PROBLEM, settings.spec(PROBLEM), settings, members, torch.device("cpu"))
        weights(group).tensors()["rnn.weight_ih_l0"].mul_(factor)
        for _ in range(40):
            group._train_step()
        losses.append(float(PROBLEM.loss(weights(group), group.data.batch(1000), "auto").mean()))
    assert losses[0] < 0.75 * losses[1]


@pytest.mark.parametrize("cell", ["gru", DALE])
def test_a_build_goes_on_and_its_zoo_is_read(cell: str, tmp_path: Path) -> None:
    settings = settings_of(cell)
    whole = build_zoo(tmp_path / "whole", PROBLEM, settings, quiet=True)
    spec = settings.spec(PROBLEM)
    assert whole.rnn_spec == spec
    assert (spec.input_width, spec.readout_widths) == (3, (7, 6))
    for part in (1, 2):
        build_zoo(tmp_path / "parts", PROBLEM, settings, quiet=True, part=(part, 2))

    def stop(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    groups = [Group(PROBLEM, spec, settings, [0, 1], torch.device("cpu")) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        groups[0].train(tmp_path / "state", 1e9, stop)
    groups[1].train(tmp_path / "state", 1e9, lambda step: None)
    zoo, parts = open_zoo(tmp_path / "whole"), open_zoo(tmp_path / "parts")
    assert torch.equal(zoo.read("weights"), parts.read("weights"))
    assert torch.equal(zoo.read("weights")[:6], groups[1].columns()["weights"])
    assert verify_zoo(tmp_path / "whole").snapshots == 12
    values = zoo.read_weights().tensors()
    for tensor in spec.tensors:
        first, last = values[tensor.name].unflatten(0, (4, 3))[:, [0, 2]].unbind(1)
        assert (first != last).any() == tensor.trained, tensor.name
    with pytest.raises(ZooError, match=r"input_width: 3 there, None asked for"):
        build_zoo(tmp_path / "whole", PROBLEM, replace(settings, input_width=0, input_bias=False))


def test_only_what_differs_is_recorded() -> None:
    """So zoos that were built before there were these settings are the same as built today."""
    plain = BuildSettings().to_dict()
    assert not plain.keys() & MORE.keys()
    assert "bias" in plain
    assert BuildSettings(readout_widths=[], input_width=0).to_dict() == plain
    assert (
        settings_of("gru").to_dict().items() >= {"input_width": 3, "readout_widths": [7, 6]}.items()
    )
    assert BuildSettings(cell="low_rank(rank=2)").cell == "low_rank"


def test_commands_build_and_use_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo = str(tmp_path / "zoo")
    words = ["--problem", "formal_languages", "--out", zoo, "--quiet", "true", "--group_size", "8"]
    for name, value in SMALL_PROBLEM.items():
        words += [f"--{name}", str(value)]
    words += ["--cell", DALE, "--hidden_size", "5", "--num_layers", "1", "--runs", "8"]
    words += ["--snapshots", "[0, 5]", "--input_width", "3", "--input_bias", "true"]
    words += ["--readout_widths", "[7]", "--readout_activation", "tanh", "--initial_state", "true"]
    assert main(["zoo", "build", *words]) == 0
    assert main(["zoo", "build", *words]) == 0  # it is this very zoo
    assert main(["zoo", "verify", zoo]) == 0
    capsys.readouterr()
    assert main(["zoo", "info", zoo]) == 0
    assert "5 inputs by 3, 5 outputs by 7 tanh, own first state" in capsys.readouterr().out
    config = {
        "model": {
            "class_path": "wsrl.PredictionModule",
            "init_args": {"target": "task", "mode": "scratch", "encoder": "NeuronGraph"},
        },
        "data": {"batch_size": 4, "steps_per_epoch": 2, "split_by": "task"},
        "trainer": {"max_steps": 2, "enable_model_summary": False, "logger": False},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    run = ["--run", str(tmp_path / "run")]
    assert main(["fit", "-c", str(tmp_path / "c.yaml"), "--data.zoo", zoo, *run]) == 0
    out = tmp_path / "predicted.csv"
    assert main(["predict", *run, "--ckpt_path", "last", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 17
    manifest = json.loads((tmp_path / "zoo" / "manifest.json").read_text())
    assert manifest["build"]["readout_widths"] == [7]
