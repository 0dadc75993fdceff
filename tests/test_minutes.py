"""Without a terminal, long work says once a minute how far it is."""

from pathlib import Path

import pytest

from wsrl import minutes
from wsrl.cli import main

BUILD = ["zoo", "build", "--problem", "formal_languages", "--runs", "2", "--snapshots", "[0, 3]"]
BUILD += ["--evaluated_strings", "4", "--stored_strings", "2", "--hidden_size", "3"]
BUILD += ["--length", "8"]
FIT = ["fit", "--model", "EmulationModule", "--model.encoder", "LayerwiseStatistics"]
FIT += ["--trainer.max_steps", "2", "--data.steps_per_epoch", "2", "--trainer.logger", "false"]
FIT += ["--trainer.limit_val_batches", "0"]


@pytest.mark.parametrize(("seconds", "said"), [(0.0, True), (1e9, False)])
def test_a_build_and_a_fit_say_how_far_they_are(
    seconds: float,
    said: bool,
    zoo_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(minutes, "MINUTE", seconds)
    assert main([*BUILD, "--out", str(tmp_path / "zoo")]) == 0
    assert ("100% built: 2/2 members" in capsys.readouterr().out) == said
    assert main([*FIT, "--data.zoo", str(zoo_path), "--run", str(tmp_path / "run")]) == 0
    assert ("note: step 2 of 2, epoch 0, loss " in capsys.readouterr().err) == said
