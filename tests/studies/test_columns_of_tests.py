"""``wsrl test`` keeps what it measures of every RNN; its metrics are the means of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import numpy as np
import pytest
import torch

import wsrl
from tests.studies.columns import LABELS, check_predictions, found
from wsrl.cli import main
from wsrl.studies.training.predictions import ColumnKeeper
from wsrl.zoos import Zoo
from wsrl.zoos.tensors import read_tensors

FIT = [
    *("--data.batch_size", "4", "--data.steps_per_epoch", "2", "--data.eval_batch_size", "7"),
    *("--data.sequences_per_rnn", "2", "--trainer.max_steps", "2", "--trainer.logger", "false"),
    *("--trainer.enable_model_summary", "false", "--trainer.accelerator", "cpu"),
    *("--model.encoder", "LayerwiseStatistics", "--model.encoder.width", "8"),
]
EMULATION = ["--model", "EmulationModule", "--model.emulator_width", "8"]
EMULATION += ["--model.clone_sequences", "3", "--model.figures", "false"]
PREDICTION = ["--model", "PredictionModule", "--model.mode", "scratch", "--model.target"]


def run(folder: Path, zoo: Path, *options: str) -> Path:
    """Train and test; return the folder."""
    where = ["--run", str(folder)]
    assert main(["fit", *where, "--data.zoo", str(zoo), *options, *FIT]) == 0
    assert main(["test", *where, "--ckpt_path", "last"]) == 0
    return folder


@pytest.fixture(scope="module")
def emulation(zoo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "emulation", zoo_path, *EMULATION)


def test_metrics_of_an_emulation_are_means_of_its_columns(emulation: Path, zoo_path: Path) -> None:
    metrics, splits = found(emulation)
    data = wsrl.ZooDataModule(str(zoo_path))
    measured = {"total_variation", "reverse_kl", "clone_score", "original_score"}
    assert list(splits) == ["validation", "ood"]
    for split, columns in splits.items():
        assert columns.keys() == LABELS | measured
        assert columns["row"].tolist() == list(data.rows(split))
        steps = data.zoo.read("step", torch.from_numpy(columns["row"]))
        assert columns["step"].tolist() == steps.tolist()
        for name in measured:
            assert columns[name].mean() == pytest.approx(metrics[f"{split}/{name}"], rel=1e-5)
        difference = np.abs(columns["clone_score"] - columns["original_score"]).mean()
        assert difference == pytest.approx(metrics[f"{split}/clone_difference"], rel=1e-5)


def test_a_row_is_of_its_own_rnn(emulation: Path, zoo_path: Path) -> None:
    _, splits = found(emulation)
    columns = splits["ood"]
    module = wsrl.EmulationModule.load_from_checkpoint(emulation / "checkpoints/last.ckpt").eval()
    data = wsrl.ZooDataModule(str(zoo_path), sequences_per_rnn=2, eval_batch_size=7)
    batch = next(iter(data.val_dataloader()[1]))
    with torch.no_grad():
        emulated = module(batch.weights, batch.inputs).softmax(-1)
    difference = (emulated - batch.outputs.softmax(-1)).abs().sum(-1).mean((1, 2)).numpy() / 2
    at = np.searchsorted(columns["row"], batch.row.numpy())
    np.testing.assert_allclose(columns["total_variation"][at], difference, rtol=1e-4)
    assert np.ptp(difference) > 0.01  # of another RNN it would be another


@pytest.mark.parametrize("target", ["task", "performance", "angle"])
def test_metrics_follow_from_predictions_and_targets(
    target: str, zoo_path: Path, digits: Path, tmp_path: Path
) -> None:
    path = digits if target == "angle" else zoo_path
    folder = run(tmp_path / "run", path, *PREDICTION, target)
    check_predictions(folder, target, wsrl.ZooDataModule(str(path)))


def test_real_outputs_are_measured_by_their_own_loss(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    build = ["zoo", "build", "--problem", "variable_binding", "--out", str(zoo), "--dims", "2"]
    build += ["--steps", "2", "--runs", "8", "--hidden_size", "4", "--snapshots", "[0,2]"]
    assert main([*build, "--quiet", "true"]) == 0
    options = [*EMULATION, "--data.split_by", "nothing", "--model.clone_rnns", "0"]
    options += ["--model.loss", "mean_squared_error"]
    metrics, splits = found(run(tmp_path / "run", zoo, *options))
    rows = list(range(len(wsrl.open_zoo(zoo))))
    for split, columns in splits.items():
        assert columns.keys() == LABELS | {"mean_squared_error"}
        assert columns["row"].tolist() == rows  # with nothing held out, once for each split
        mean = columns["mean_squared_error"].mean()
        assert mean == pytest.approx(metrics[f"{split}/mean_squared_error"], rel=1e-5)


def test_validate_keeps_none_and_a_new_run_deletes_them(
    emulation: Path, zoo_path: Path, tmp_path: Path
) -> None:
    checkpoint = str(emulation / "checkpoints/last.ckpt")
    assert main(["validate", "--ckpt_path", checkpoint, "--run", str(tmp_path / "other")]) == 0
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["validate.json"]
    folder = run(tmp_path / "run", zoo_path, *PREDICTION, "step")
    kept = {path.name for path in folder.iterdir()}
    assert {"test.json", "test.safetensors", "cost.json"} < kept
    wsrl.studies.training.runs.Run(folder).clear()
    assert not list(folder.iterdir())


def test_several_processes_keep_none_and_say_so(
    tmp_path: Path, zoo: Zoo, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "test.safetensors"
    columns = {"row": torch.tensor([4, 2]), "loss": torch.tensor([0.5, 0.25]).bfloat16()}
    keeper: Any = ColumnKeeper()
    keeper.on_test_batch_end(None, None, {"columns": columns}, None, 0, 1)
    keeper.on_test_batch_end(None, None, None, None, 1, 1)  # of a task that returns nothing
    keeper.write(path, ["validation", "ood"], {}, zoo, processes=1)
    kept = read_tensors(path)
    assert kept["loss"].dtype == torch.float32
    assert {name: column.tolist() for name, column in kept.items()} == {
        "row": [2, 4],
        "loss": [0.25, 0.5],
        "split": [1, 1],
        "spec": [0, 0],
    }
    assert capsys.readouterr().err == ""
    keeper.write(path, ["validation", "ood"], {}, zoo, processes=2)
    said = "note: no test.safetensors, which one process writes: pass --trainer.devices 1\n"
    assert capsys.readouterr().err == said
    assert not path.exists()  # it was of another test
