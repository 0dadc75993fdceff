"""The demonstration, at a size that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SMALL_BUILD, SMALL_PROBLEM
from wsrl.cli import main
from wsrl.problems import FormalLanguages
from wsrl.studies import demo
from wsrl.zoos import BuildSettings


def test_it_builds_trains_predicts_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PROBLEM", FormalLanguages(**SMALL_PROBLEM))
    monkeypatch.setattr(demo, "BUILD", BuildSettings(**SMALL_BUILD))
    monkeypatch.setattr(demo, "EMULATION_STEPS", 3)
    monkeypatch.setattr(demo, "PREDICTION_STEPS", 3)
    assert main(["demo", "--out", str(tmp_path)]) == 0
    for name in ("outputs", "probing", "embeddings"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for row in ("emulation: TV, ood", "task: each difference, validation"):
        assert row in printed
    built = (tmp_path / "zoo/manifest.json").stat().st_mtime_ns
    assert main(["demo", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "zoo/manifest.json").stat().st_mtime_ns == built
