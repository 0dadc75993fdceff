"""Bad input gets a clear error before anything is run, and leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.benchmark.conftest import QUICK, Grid
from wsrl.cli import main

LANGUAGES = "formal_languages_small.yaml"


def emulation(**options: Any) -> dict[str, Any]:
    return {"config": "emulation_small.yaml", "options": QUICK | options}


def zoo(**settings: Any) -> dict[str, Any]:
    return {"z": {"build": f"zoo/{LANGUAGES}", "target": "task"} | settings}


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "encoder": ({"encoders": ["InteractiveProbing", "Interactive"]}, ["Interactive", "FlattenedW"]),
    "twice": ({"encoders": ["InteractiveProbing"] * 2}, ["encoders", "once: InteractiveProbing"]),
    "no seeds": ({"seeds": []}, ["seeds", "one or more"]),
    "seed": ({"seeds": [0, -1]}, ["seeds", "from 0", "-1"]),
    "ablated twice": (
        {"ablations": {"InteractiveProbing": {"num_probes": [2, 2]}}},
        ["more than once: InteractiveProbing-num_probes=2"],
    ),
    "mode": ({"modes": ["frosen"]}, ["unknown mode 'frosen'", "finetune"]),
    "baseline": ({"baselines": ["luck"]}, ["unknown baseline 'luck'", "mean"]),
    "reference": ({"compare_with": "Spectral"}, ["compare_with", "LayerwiseStatistics"]),
    "one size": ({"properties": [8]}, ["properties", "two hidden sizes"]),
    "ablated": ({"ablations": {"Spectral": {"x": [1]}}}, ["ablations", "'Spectral'"]),
    "tuned": ({"tuned": {"Spectral": {"model.loss": "kl"}}}, ["encoder of tuned", "'Spectral'"]),
    "tuned setting": ({"tuned": {"InteractiveProbing": {"model.loss": "tv"}}}, ["loss", "seed0"]),
    "ablated option": (
        {"ablations": {"InteractiveProbing": {"probes": [1]}}},
        ["InteractiveProbing-probes=1", "model.encoder: Option 'probes' is not accepted"],
    ),
    "option": ({"emulation": emulation(**{"trainer.steps": 3})}, ["trainer.steps"]),
    "value": ({"emulation": emulation(**{"model.loss": "tv"})}, ["loss", "total_variation"]),
    "config": ({"prediction": {"config": "predict.yaml"}}, ["no config predict.yaml"]),
    "zoo's setting": ({"zoos": zoo(colour="red")}, ["zoos", "'colour'", "grid.yaml"]),
    "no target": ({"zoos": {"z": {"build": LANGUAGES}}}, ["zoos", "required: target"]),
    "both": ({"zoos": zoo(path="here")}, ["zoo z", "either `build`"]),
    "target": ({"zoos": zoo(target="angle")}, ["target of zoo z", "'angle'", "task"]),
    "no zoo": ({"zoos": zoo(build=None, path="nowhere")}, ["zoo z", "nowhere"]),
    "build": ({"zoos": zoo(options={"runz": 3})}, ["zoo z", "runz"]),
    "few tasks": ({"zoos": zoo(options={"runs": 2})}, ["zoo z", "split"]),
    "several specs": (
        {"zoos": zoo(options={"cell": ["lstm", "gru"]})},
        ["LayerwiseStatistics reads RNNs of one spec", "InteractiveProbing"],
    ),
    "name": ({"zoos": {"a/b": zoo()["z"]}}, ["'a/b'", "name of a folder"]),
    "no such setting": ({"colour": "red"}, ["colour"]),
    "only pre-training's": ({"encoders": ["InteractiveProbing", "own.yaml"]},
                            ["own/seed0/task-frozen", "gradient_clip"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_before_any_work(
    case: str,
    grid: Grid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    own = "model: {init_args: {encoder: LayerwiseStatistics, gradient_clip: 1.0}}\n"
    Path("own.yaml").write_text(own)
    changes, expected = WRONG[case]
    assert main(["benchmark", *grid(**changes)]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("wsrl benchmark: error:")
    for word in expected:
        assert word in said
    assert not (tmp_path / "out").exists()


def test_zoos_of_different_problems_are_refused(
    grid: Grid, zoo_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(zoo_path), str(digits)]
    assert main(["benchmark", *grid(zoos=zoo(build=None, path=paths))]) == 1
    said = capsys.readouterr().err
    assert "of different problems" in said
    assert "problem 'formal_languages' and 'tiled_images'" in said


def test_the_same_without_the_mistake_is_fine(grid: Grid) -> None:
    assert main(["benchmark", *grid(), "--plan", "json"]) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "x"], "say which --tier"),
        (["--tier", "huge", "--out", "x"], "--tier: invalid choice: 'huge'"),
        (["--tier", "smoke"], "out"),
        (["--tier", "smoke", "--out", "x", "--workers", "-1"], "workers"),
    ],
)
def test_command_lines_that_make_no_sense(
    words: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words]) in (1, 2)
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
