"""A kind of target from outside is trained, tested, read by baselines and by ``wsrl inspect``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import wsrl
from tests.studies.conftest import Own
from tests.test_docs import run_page
from wsrl.cli import main
from wsrl.encoders.registry import ENCODERS
from wsrl.studies.training.checkpoints import CheckpointRecord
from wsrl.tasks.targets import TARGETS


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    """The kind of the documentation: a real number with an interval."""
    with TARGETS.restored(), ENCODERS.restored():
        run_page("target.md")
        yield


def test_a_kind_from_outside_goes_all_the_way(
    language_runs: Path, own_rnns: list[tuple[tuple[int, ...], Own]], tmp_path: Path
) -> None:
    emulation = language_runs / "emulation"
    record = CheckpointRecord.read(emulation / "checkpoints/best.ckpt")
    zoo, run = record.data["zoo"], tmp_path / "run"
    words = ["--model", "PredictionModule", "--model.target", "performance", "--data.zoo", zoo]
    words += ["--model.pretrained", str(emulation / "checkpoints/best.ckpt")]
    words += ["--trainer.max_steps", "4", "--data.steps_per_epoch", "2", "--run", str(run)]
    assert main(["fit", *words, "--model.kind", "interval"]) == 0
    for command in ("test", "predict"):
        assert main([command, "--run", str(run), "--ckpt_path", "best"]) == 0
    for file in ("test.safetensors", "embeddings.safetensors"):
        columns = load_file(run / file)
        assert columns["low"].shape == columns["prediction"].shape == columns["high"].shape
    out = ["--out", str(run / "embeddings.csv")]
    assert main(["predict", "--run", str(run), "--ckpt_path", "best", *out]) == 0
    kept = columns["low"][:, 0].tolist()
    for file in ("embeddings.csv", "embeddings.safetensors"):
        table = wsrl.read_embeddings(run / file)
        assert table["predicted_performance_low"].tolist() == pytest.approx(kept)
    words = ["--data.zoo", zoo, "--target", "performance", "--kind", "interval"]
    for baseline in ("mean", "trees"):
        assert main(["baseline", baseline, *words, "--run", str(tmp_path / baseline)]) == 0
        metrics = json.loads((tmp_path / baseline / "test.json").read_text())["metrics"]
        assert set(metrics) == {"validation/mae", "ood/mae"}
    save_file(own_rnns[2][1].state_dict(), tmp_path / "model.safetensors")
    found = wsrl.inspect_rnn(tmp_path / "model.safetensors", emulation, predict=[run])
    (performance,) = [each for each in found.properties if each.name == "performance"]
    assert performance.kind == "interval"
    assert performance.low[0] <= performance.values[0] <= performance.high[0]
