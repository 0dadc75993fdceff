"""``wsrl baseline``: every baseline on every kind of target, judged as predictions are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import circmean
from torch import Tensor

import wsrl
from tests.studies.columns import check_predictions, found
from wsrl.analysis import readouts
from wsrl.cli import main
from wsrl.studies.baselines import BASELINES, PROBING_LENGTH
from wsrl.zoos.tensors import read_tensors

ROOT = Path(__file__).parents[2]
TARGETS = ["task", "step", "performance", "angle"]


def baseline(name: str, zoo: Path, target: str, folder: Path, *options: str) -> Path:
    args = ["--data.zoo", str(zoo), "--target", target, "--run", str(folder), "--steps", "200"]
    args += options
    assert main(["baseline", name, *args]) == 0
    return folder


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", BASELINES)
def test_metrics_follow_from_predictions_and_targets(
    name: str, target: str, zoo_path: Path, digits: Path, tmp_path: Path
) -> None:
    zoo = digits if target == "angle" else zoo_path
    options = ["--data.ood_to_train", "false"] if target == "angle" else []
    data = wsrl.ZooDataModule(str(zoo), ood_to_train=target != "angle")
    check_predictions(baseline(name, zoo, target, tmp_path / "cell", *options), target, data)


@pytest.mark.parametrize("target", TARGETS)
def test_mean_is_that_of_the_training_snapshots(
    target: str, zoo_path: Path, digits: Path, tmp_path: Path
) -> None:
    zoo, ood = (digits, "false") if target == "angle" else (zoo_path, "true")
    _, splits = found(baseline("mean", zoo, target, tmp_path, "--data.ood_to_train", ood))
    data = wsrl.ZooDataModule(str(zoo), ood_to_train=target != "angle")
    truth = data.read_target(target, "train").numpy().astype(float)
    if target == "angle":
        expected = [circmean(truth, 360)]
    elif target == "performance":
        expected = [truth.mean()]
    else:
        expected = [np.bincount(column.astype(int)).argmax() for column in truth.T]
    for columns in splits.values():
        np.testing.assert_allclose(
            columns["prediction"], expected * np.ones((len(columns["row"]), 1)), rtol=1e-5
        )


@pytest.mark.parametrize("name", ["pca", "random_probes", "trees"])
def test_what_reads_the_weights_tells_how_long_they_were_trained(
    name: str, zoo_path: Path, tmp_path: Path
) -> None:
    # Of so few RNNs, weights as they are tell little of others: what was learned from is asked.
    options = ["--data.split_by", "nothing"] if name == "pca" else []
    metrics, _ = found(baseline(name, zoo_path, "step", tmp_path / name, *options))
    assert metrics["ood/exact_match"] > 0.6
    metrics, _ = found(baseline("mean", zoo_path, "step", tmp_path / "mean", *options))
    assert metrics["ood/exact_match"] == pytest.approx(1 / 3)


def test_the_seed_fixes_the_files_and_matters_only_where_something_is_random(
    zoo_path: Path, tmp_path: Path
) -> None:
    for name in BASELINES:
        one, again, other = (
            baseline(name, zoo_path, "performance", tmp_path / f"{name}-{word}", "--seed", seed)
            for word, seed in (("one", "1"), ("again", "1"), ("other", "2"))
        )
        for file in ("test.json", "test.safetensors"):
            assert (one / file).read_bytes() == (again / file).read_bytes()
        predicted = [
            read_tensors(folder / "test.safetensors")["prediction"].tolist()
            for folder in (one, other)
        ]
        assert (predicted[0] != predicted[1]) is (name in ("pca", "random_probes"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope", "--target", "step"], "unknown baseline 'nope'; choose one of"),
        (["mean", "--target", "nope"], "unknown target 'nope'; choose one of task, performance"),
        (["mean", "--target", "step", "--seed", "-1"], "--seed: Not of type a whole number"),
        (["mean", "--target", "step", "--data.batch_size", "3"], "--data.batch_size"),
        (["mean", "--target", "step", "--data.split_seed", "x"], "data.split_seed"),
        (["mean", "--target", "step", "--data.test_fraction", "0.9"], "test_fraction"),
        (["mean"], "target"),
    ],
)
def test_bad_settings_are_errors(
    words: list[str],
    message: str,
    zoo_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--data.zoo", str(zoo_path), "--run", str(tmp_path / "cell")]
    assert main(["baseline", *words, *where]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "cell").exists()


def test_the_folder_of_a_training_run_is_refused(
    zoo_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    args = ["--data.zoo", str(zoo_path), "--target", "step", "--run", str(tmp_path)]
    assert main(["baseline", "mean", *args]) == 1
    assert "holds a training run; choose another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_the_readers_are_like_the_head_that_reads_encoders() -> None:
    config = yaml.safe_load((ROOT / "configs/prediction.yaml").read_text())
    head = config["model"]["init_args"]
    assert (head["head_width"], head["head_layers"]) == (readouts.WIDTH, readouts.LAYERS)
    training = (config["trainer"]["max_steps"], config["data"]["batch_size"])
    assert training == (readouts.STEPS, readouts.BATCH)
    encoder = wsrl.create_encoder("NoninteractiveProbing", spec=wsrl.RNNSpec("gru", 3, 4, 1, 3))
    assert isinstance(encoder, wsrl.encoders.NoninteractiveProbing)
    lengths = (encoder.embedding_dim, encoder.probing_length)
    assert lengths == (readouts.COMPONENTS, PROBING_LENGTH)


def test_an_untrained_encoder_is_a_function_of_the_seed(zoo_path: Path, tmp_path: Path) -> None:
    def encoder(target: str, seed: str) -> Tensor:
        run = tmp_path / f"{target}{seed}"
        args = ["--config", str(ROOT / "configs/prediction.yaml"), "--data.zoo", str(zoo_path)]
        args += ["--model.mode", "untrained", "--model.encoder", "LayerwiseStatistics"]
        args += ["--model.target", target, "--trainer.max_steps", "2", "--trainer.logger", "false"]
        assert main(["fit", *args, "--seed_everything", seed, "--run", str(run)]) == 0
        state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        return torch.cat([v.flatten() for name, v in state.items() if name.startswith("encoder.")])

    one = encoder("step", "1")
    assert torch.equal(one, encoder("task", "1"))
    assert not torch.equal(one, encoder("step", "2"))
