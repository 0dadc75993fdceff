"""The demonstration, at a size that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsrl.cli import demo, main


def test_it_builds_trains_predicts_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = " --runs 24 --snapshots [0,20,60] --hidden_size 6 --evaluated_strings 40"
    for name, more in {
        "ZOO": f"{small} --stored_strings 8",
        "EMULATION": " --trainer.max_steps 3 --data.steps_per_epoch 3 --model.clone_sequences 2",
        "PREDICTION": " --trainer.max_steps 3 --data.steps_per_epoch 3",
    }.items():
        monkeypatch.setattr(demo, name, getattr(demo, name) + more)  # the last word counts
    for _ in range(2):  # the second time all is there
        assert main(["demo", "--out", str(tmp_path / "de mo")]) == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in ("$ wsrl zoo build", "total_variation", "part_acc"))
    for name in ("outputs", "probing", "embeddings"):
        assert (tmp_path / f"de mo/{name}.png").read_bytes().startswith(b"\x89PNG")
