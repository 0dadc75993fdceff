"""Optimisers, schedules and the warm-up, from Python and from the command line."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR

from tests.tasks.conftest import SMALL_ENCODER, small_emulation, small_trainer
from wsrl.cli import main
from wsrl.data import ZooDataModule
from wsrl.tasks import EmulationModule, MuonWithAdamW, PredictionModule, TaskModule
from wsrl.tasks.optimizers import describe_optimizer, describe_scheduler
from wsrl.torch_files import read_torch_file

RATE = 0.01
MOMENTUM = partial(SGD, lr=0.01, momentum=0.9)
HALVED: Any = partial(ExponentialLR, gamma=0.5)
every_task = pytest.mark.parametrize("kind", [EmulationModule, PredictionModule])


class Rates(Callback):
    """Notes the learning rate that every step uses."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Any) -> None:
        self.used.append(optimizer.param_groups[0]["lr"])


def make(
    datamodule: ZooDataModule, kind: type[TaskModule] = EmulationModule, **options: Any
) -> TaskModule:
    torch.manual_seed(0)
    options = {"learning_rate": RATE, **options}
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


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda parameters: SGD(parameters, lr=1.0), "functools.partial of one with named"),
        (torch.nn.Linear, "must be a subclass of torch.optim.optimizer.Optimizer"),
        (partial(SGD, lr=-1.0), "cannot be made: Invalid learning rate"),
        (partial(SGD, speed=1.0), "cannot be made: .*speed"),
        (partial(SGD, lr=torch.ones(())), "must be plain values"),
        ({"class_path": "script.Own"}, "registered or installed"),
        ({"class_path": "subprocess.Popen"}, "no subclass of Optimizer"),
    ],
)
def test_what_no_checkpoint_could_rebuild_is_refused(given: Any, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        describe_optimizer(given)
    described = describe_optimizer(MOMENTUM)
    assert describe_optimizer(described) == described
    with pytest.raises(ValueError, match="plain values"):
        describe_scheduler(partial(LambdaLR, lr_lambda=lambda step: 1.0))


RATES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "neither": ({}, [RATE] * 4),
    "a warm-up": ({"warmup_steps": 4}, [RATE * min(step / 5, 1) for step in range(1, 8)]),
    "a schedule": ({"optimizer": MOMENTUM, "lr_scheduler": HALVED}, [0.01, 0.005, 0.0025]),
    "both": (
        {"optimizer": MOMENTUM, "lr_scheduler": HALVED, "warmup_steps": 1},
        [0.005, 0.005, 0.0025],
    ),
}


@every_task
@pytest.mark.parametrize("case", RATES)
def test_the_rate_of_every_step(
    kind: type[TaskModule], case: str, datamodule: ZooDataModule, tmp_path: Path
) -> None:
    options, expected = RATES[case]
    used = fit(make(datamodule, kind, **options), datamodule, tmp_path, len(expected)).used
    assert used == pytest.approx(expected)
    with pytest.raises(ValueError, match="warmup_steps must be at least 0, not -1"):
        make(datamodule, kind, warmup_steps=-1)


def test_reduction_on_a_plateau_waits_for_a_validation(
    datamodule: ZooDataModule, tmp_path: Path
) -> None:
    plateau: Any = partial(
        ReduceLROnPlateau, monitor="validation/total_variation", patience=0, threshold=0.99
    )
    module, rates = make(datamodule, optimizer=MOMENTUM, lr_scheduler=plateau), Rates()
    trainer = small_trainer(tmp_path, max_epochs=3, callbacks=[rates])
    trainer.fit(module, datamodule=datamodule)
    assert rates.used == pytest.approx([0.01] * 8 + [0.001] * 4)


def test_the_command_line_has_lightnings_options(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", "--run", str(tmp_path), "--data.zoo", str(zoo_path), "--model"]
    words += ["EmulationModule", "--model.encoder", "LayerwiseStatistics", "--model.clone_rnns"]
    words += ["0", "--trainer.limit_val_batches", "0", "--trainer.logger", "false"]
    schedule = ["--lr_scheduler", "CosineAnnealingLR", "--lr_scheduler.T_max", "10"]
    optimizer = ["--optimizer", "SGD", "--optimizer.momentum", "0.9"]
    assert main([*words, *optimizer, *schedule, "--trainer.max_steps", "2"]) == 0
    last = tmp_path / "checkpoints/last.ckpt"
    settings = read_torch_file(last)["hyper_parameters"]
    assert settings["optimizer"]["init_args"] == {"momentum": 0.9}
    assert settings["lr_scheduler"]["init_args"] == {"T_max": 10}
    go_on = ["fit", "--run", str(tmp_path), "--config", str(tmp_path / "config.yaml")]
    go_on += ["--ckpt_path", "last", "--trainer.max_steps", "4"]
    assert main(go_on) == 0
    assert read_torch_file(last)["lr_schedulers"][0]["last_epoch"] == 4
    assert main([*go_on, "--optimizer", "Adam"]) == 1
    assert f"contradicts {last}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["optimizer", "lr_scheduler"])
def test_a_config_that_has_it_in_the_model_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f"model: {{init_args: {{{name}: {{class_path: torch.optim.SGD}}}}}}")
    assert main(["fit", "--config", str(config)]) == 1
    assert f"mine.yaml: {name} stands beside model, at the top" in capsys.readouterr().err
    for option in (f"--model.init_args.{name}.class_path", f"--model.{name}=SGD"):
        assert main(["fit", option]) == 1
        assert f"{option}: {name} stands beside model" in capsys.readouterr().err


@every_task
def test_a_run_interrupted_in_its_warmup_goes_on_bit_for_bit(
    kind: type[TaskModule], datamodule: ZooDataModule, tmp_path: Path
) -> None:
    straight = make(datamodule, kind, warmup_steps=5)
    fit(straight, datamodule, tmp_path, 7)
    path = tmp_path / "2.ckpt"
    fit(make(datamodule, kind, warmup_steps=5), datamodule, tmp_path, 2)
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


@pytest.mark.parametrize("steps", [3, 4])
def test_a_cosine_that_rises_again_is_said(
    steps: int, datamodule: ZooDataModule, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    cosine: Any = partial(CosineAnnealingLR, T_max=3)
    fit(make(datamodule, lr_scheduler=cosine), datamodule, tmp_path, steps)
    said = [str(warning.message) for warning in recwarn if "rises again" in str(warning.message)]
    assert len(said) == (steps > 3)


def test_muon_with_adamw_is_both_of_pytorch_on_their_own() -> None:
    torch.manual_seed(0)
    both, apart = nn.LSTM(4, 6), nn.LSTM(4, 6)
    apart.load_state_dict(both.state_dict())
    matrices = [each for each in apart.parameters() if each.ndim == 2]
    vectors = [each for each in apart.parameters() if each.ndim == 1]
    alone = [
        torch.optim.Muon(matrices, 0.1, weight_decay=0.02, momentum=0.8),
        AdamW(vectors, 0.03, weight_decay=0.02),
    ]
    together = [MuonWithAdamW(both.parameters(), 0.03, 0.1, weight_decay=0.02, momentum=0.8)]
    for module, optimizers in ((both, together), (apart, alone)):
        for _ in range(3):
            module.zero_grad()
            module(torch.ones(5, 1, 4))[0].square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert same_weights(both, apart)
    assert len(together[0].param_groups) == 2


def test_a_run_with_muon_goes_on_bit_for_bit(datamodule: ZooDataModule, tmp_path: Path) -> None:
    options: Any = {"optimizer": MuonWithAdamW, "lr_scheduler": HALVED}
    straight = make(datamodule, **options)
    fit(straight, datamodule, tmp_path, 4)
    fit(make(datamodule, **options), datamodule, tmp_path, 2)
    path = tmp_path / "2.ckpt"
    resumed = EmulationModule.load_from_checkpoint(path)
    fit(resumed, datamodule, tmp_path, 4, ckpt_path=path)
    assert same_weights(resumed, straight)
    content = torch.load(path, weights_only=True)
    for state in content["optimizer_states"][0]["state"].values():
        for value in state.values():
            value.zero_()  # had it forgotten its momentum
    torch.save(content, path)
    again = EmulationModule.load_from_checkpoint(path)
    fit(again, datamodule, tmp_path, 4, ckpt_path=path)
    assert not same_weights(again, straight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda given: pickle.loads(pickle.dumps(given))])
def test_a_copy_of_muon_with_adamw_works_on_its_own(copied: Any) -> None:
    layer = nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    module, optimizer = copied((layer, MuonWithAdamW(layer.parameters())))
    before = [parameter.clone() for parameter in module.parameters()]
    module(torch.ones(1, 3)).sum().backward()
    assert optimizer.step(lambda: 7.0) == 7.0
    assert not any(map(torch.equal, before, module.parameters()))
    assert all(map(torch.equal, before, layer.parameters()))


def test_muon_with_adamw_refuses_groups() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="expected parameters, not groups"):
        MuonWithAdamW([{"params": layer.parameters()}])  # type: ignore[list-item]
    optimizer = MuonWithAdamW(layer.parameters())
    with pytest.raises(TypeError, match="all parameters at once"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
