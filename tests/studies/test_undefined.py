"""Metrics that are not defined on the data are named before training, and null in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wsrl.cli import main
from wsrl.tasks import PredictionModule
from wsrl.zoos import pack_zoo
from wsrl.zoos.tensors import read_tensors

FEW, ENOUGH = 12, 40


@pytest.fixture(scope="module")
def zoos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Zoos of so many RNNs with the properties ``size``, which varies, and ``constant``."""
    found = {}
    for count in (FEW, ENOUGH):
        folder = tmp_path_factory.mktemp("zoos")
        models = []
        for number in range(count):
            torch.manual_seed(number)
            parts = nn.ModuleDict({"rnn": nn.LSTM(3, 4, batch_first=True), "fc": nn.Linear(4, 3)})
            models.append((f"{number:02}", parts.state_dict()))
        table = {"size": [number / 8 for number in range(count)], "constant": [0.1] * count}
        how: dict[str, Any] = {"length": 4, "sequences_stored": 2}
        pack_zoo(models, folder / "zoo", "real", "normal", table, **how)
        found[count] = folder / "zoo"
    return found


@pytest.fixture
def few(zoos: dict[int, Path]) -> Path:
    """Its validation split holds one RNN."""
    return zoos[FEW]


@pytest.fixture
def enough(zoos: dict[int, Path]) -> Path:
    return zoos[ENOUGH]


def fit(zoo: Path, run: Path, *options: str) -> list[str]:
    return [
        *("fit", "--data.zoo", str(zoo), "--run", str(run), "--trainer.accelerator", "cpu"),
        *("--trainer.max_steps", "4", "--data.steps_per_epoch", "2", "--data.batch_size", "4"),
        *("--trainer.enable_model_summary", "false", *options),
    ]


def predict(target: str, *options: str) -> list[str]:
    return [
        *("--model", "wsrl.PredictionModule", "--model.target", target, "--model.mode"),
        *("untrained", "--model.encoder", "LayerwiseStatistics", *options),
    ]


EMULATION = [
    *("--model", "wsrl.EmulationModule", "--model.encoder", "LayerwiseStatistics"),
    *("--model.loss", "mean_squared_error", "--model.emulator_width", "4"),
]


def metrics_of(run: Path, file: str = "test.json") -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise ValueError(word)

    content = json.loads((run / file).read_text(), parse_constant=refuse)
    metrics: dict[str, Any] = content["metrics"]
    return metrics


def notes(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("note: ")]


def test_a_split_of_one_rnn_ends_no_run(
    few: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said_before: list[str] = []  # every step of training
    own_step = PredictionModule.training_step

    def step(module: PredictionModule, *batch: Any) -> Any:
        said_before.append(capsys.readouterr().err)
        return own_step(module, *batch)

    monkeypatch.setattr(PredictionModule, "training_step", step)
    assert main(fit(few, tmp_path, *predict("size"))) == 0
    said = capsys.readouterr()
    expected = ["note: validation holds 1 RNN: r2 and kendall_tau not defined there (null)"]
    assert [notes(err) for err in (*said_before, said.err)] == [expected, [], [], [], []]
    assert "best validation/loss: " in said.out
    assert main(["test", "--run", str(tmp_path), "--ckpt_path", "best"]) == 0
    found = metrics_of(tmp_path)
    undefined = ["validation/r2", "validation/kendall_tau"]
    assert [name for name, value in found.items() if value is None] == undefined
    columns = read_tensors(tmp_path / "test.safetensors")
    assert columns["performance"].isnan().all()  # none was given
    assert columns["prediction"].isfinite().all()
    assert f"null in test.json, since not defined or not finite: {', '.join(undefined)}" in (
        capsys.readouterr().err
    )


def test_a_constant_target_is_noted_and_where_all_is_defined_nothing_is_said(
    enough: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(enough, tmp_path / "constant", *predict("constant"))) == 0
    train, validation, ood = notes(capsys.readouterr().err)
    assert train == "note: all 28 RNNs of train have the same constant: there is nothing to learn"
    lost = "have the same constant: r2 and kendall_tau not defined there (null)"
    assert validation == f"note: all 6 RNNs of validation {lost}"
    assert ood == f"note: all 6 RNNs of ood {lost}"
    assert main(fit(enough, tmp_path / "size", *predict("size"))) == 0
    assert main(["validate", "--run", str(tmp_path / "size"), "--ckpt_path", "best"]) == 0
    assert notes(capsys.readouterr().err) == []
    assert None not in metrics_of(tmp_path / "size", "validate.json").values()


@pytest.mark.parametrize("target", ["size", "constant"])
def test_a_baseline_says_the_same(
    target: str, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.zoo", str(few), "--target", target, "--run", str(tmp_path)]
    assert main(["baseline", "mean", *words]) == 0
    assert "r2 and kendall_tau not defined there (null)" in capsys.readouterr().err
    found = metrics_of(tmp_path)
    assert found["validation/r2"] is found["validation/kendall_tau"] is None
    assert found["ood/kendall_tau"] is None  # the mean says the same of all RNNs
    assert (found["ood/r2"] is None) is (target == "constant")
    assert found["validation/mae"] is not None


def test_an_emulation_names_what_needs_two_rnns(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(few, tmp_path, *EMULATION)) == 0
    (said,) = notes(capsys.readouterr().err)
    assert said.startswith("note: validation holds 1 RNN: shuffled_mean_squared_error not")
    assert main(["test", "--run", str(tmp_path), "--ckpt_path", "best"]) == 0
    undefined = [name for name, value in metrics_of(tmp_path).items() if value is None]
    assert undefined == ["validation/shuffled_mean_squared_error"]


def test_no_rnn_at_all_is_said(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(few, tmp_path, *predict("size"))) == 0
    words = ["--run", str(tmp_path), "--ckpt_path", "best"]
    assert main(["test", *words, "--trainer.limit_test_batches", "0"]) == 0
    assert metrics_of(tmp_path) == {}
    assert main(["predict", *words, "--trainer.limit_predict_batches", "0"]) == 1
    assert "no RNN was read" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "embeddings.safetensors").exists()
