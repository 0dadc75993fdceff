"""A zoo and runs written by version 0.1.0 before the house was rebuilt still load and go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from wsrl.cli import main

WRITTEN = Path(__file__).parent / "written_before"
BUILD = (
    *("--problem", "formal_languages", "--snapshots", "[0,2,5]", "--hidden_size", "4"),
    *("--num_layers", "1", "--runs", "12", "--group_size", "6", "--num_tokens", "3"),
    *("--length", "12", "--max_n", "4", "--evaluated_strings", "20", "--stored_strings", "12"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(WRITTEN, tmp_path / "w")
    for run in ("emulation", "prediction"):
        (tmp_path / "w" / run / "checkpoints").mkdir()
        (tmp_path / "w" / run / "last.ckpt").rename(tmp_path / "w" / run / "checkpoints/last.ckpt")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def started_from(run: str) -> list[str]:
    """Return a checkpoint of before and its zoo, which has moved since."""
    return ["--ckpt_path", f"{run}/checkpoints/last.ckpt", "--data.zoo", "zoo"]


def test_the_zoo_verifies_and_is_built_again_from_its_seed(here: Path) -> None:
    assert main(["zoo", "verify", "zoo"]) == 0
    assert main(["zoo", "build", *BUILD, "--out", "zoo", "--quiet", "true"]) == 0  # it is the same
    assert main(["zoo", "build", *BUILD, "--out", "again", "--quiet", "true"]) == 0
    old, new = (json.loads((here / zoo / "manifest.json").read_text()) for zoo in ("zoo", "again"))
    for key in ("problem", "problem_settings", "settings", "columns", "targets"):
        assert old.get(key) == new.get(key), key
    for shard in ("00000", "00001"):
        before, after = (
            load_file(here / z / f"shards/{shard}.safetensors") for z in ("zoo", "again")
        )
        assert before.keys() == after.keys()
        for name in before:
            assert before[name].dtype == after[name].dtype
            if before[name].dtype.is_floating_point:
                torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("run", ["emulation", "prediction"])
def test_a_checkpoint_predicts_what_it_predicted(here: Path, run: str) -> None:
    out = here / "now.safetensors"
    arguments = ["predict", *started_from(run), "--out", str(out)]
    assert main(arguments) == 0
    before, after = load_file(here / run / "expected.safetensors"), load_file(out)
    assert before.keys() <= after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("run", ["emulation", "prediction"])
def test_training_goes_on_from_a_checkpoint(
    here: Path, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *started_from(run), "--trainer.max_steps", "4"]) == 0
    assert f"{run}: 4 steps" in capsys.readouterr().out
