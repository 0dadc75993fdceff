"""Bad input gets a clear error before anything is run, and leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.studies.benchmark.conftest import QUICK, Grid
from wsrl import resources
from wsrl.cli import main
from wsrl.encoders import create_encoder
from wsrl.studies.benchmark import checks, memory
from wsrl.tasks import EmulationModule
from wsrl.zoos import Zoo

LANGUAGES = "formal_languages_small.yaml"


def emulation(**options: Any) -> dict[str, Any]:
    return {"config": "emulation_small.yaml", "options": QUICK | options}


def zoo(**settings: Any) -> dict[str, Any]:
    return {"z": {"build": f"zoo/{LANGUAGES}", "target": "task"} | settings}


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "encoder": ({"encoders": ["InteractiveProbing", "Interactive"]}, ["Interactive", "FlattenedW"]),
    "twice": (
        {"encoders": ["InteractiveProbing"] * 2},
        ["encoders", "more than once: InteractiveProbing"],
    ),
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
    "ablated option": (
        {"ablations": {"InteractiveProbing": {"probes": [1]}}},
        ["InteractiveProbing-probes=1", "model.encoder: Option 'probes' is not accepted"],
    ),
    "option": ({"emulation": emulation(**{"trainer.steps": 3})}, ["trainer.steps"]),
    "value": ({"emulation": emulation(**{"model.loss": "tv"})}, ["loss", "total_variation"]),
    "config": ({"prediction": {"config": "predict.yaml"}}, ["no config predict.yaml"]),
    "zoo's setting": (
        {"zoos": zoo(colour="red")},
        ["zoos: Option 'colour' is not accepted", "grid.yaml"],
    ),
    "no target": (
        {"zoos": {"z": {"build": LANGUAGES}}},
        ["zoos: the following arguments are required: target"],
    ),
    "both": ({"zoos": zoo(path="here")}, ["zoo z", "either `build`"]),
    "target": ({"zoos": zoo(target="angle")}, ["target of zoo z", "'angle'", "task"]),
    "no zoo": ({"zoos": zoo(build=None, path="nowhere")}, ["zoo z", "nowhere"]),
    "build": ({"zoos": zoo(options={"runz": 3})}, ["zoo z", "runz"]),
    "few tasks": ({"zoos": zoo(options={"runs": 2})}, ["zoo z", "split"]),
    "name": ({"zoos": {"a/b": zoo()["z"]}}, ["'a/b'", "name of a folder"]),
    "no such setting": ({"colour": "red"}, ["colour"]),
}


def test_a_preset_that_only_pretraining_takes_is_said_before_any_work(
    grid: Grid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model: {init_args: {encoder: LayerwiseStatistics, gradient_clip: 1.0}}\n")
    assert main(["benchmark", *grid(encoders=["InteractiveProbing", str(own)])]) == 1
    assert "own/seed0/task-frozen" in (said := capsys.readouterr().err)
    assert "gradient_clip" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_before_any_work(
    case: str, grid: Grid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, expected = WRONG[case]
    assert main(["benchmark", *grid(**changes)]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("wsrl benchmark: error:")
    for word in expected:
        assert word in said
    assert not (tmp_path / "out").exists()


def test_the_same_without_the_mistake_is_fine(grid: Grid) -> None:
    assert main(["benchmark", *grid(), "--list"]) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "x"], "say which --tier"),
        (["--tier", "huge", "--out", "x"], "unknown tier 'huge'"),
        (["--tier", "smoke"], "out"),
        (["--tier", "smoke", "--out", "x", "--zoo", "langs=y"], "--zoo langs=y"),
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


def test_too_little_disk_is_said_before_any_work(
    grid: Grid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = checks.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    assert main(["benchmark", *grid()]) == 1
    assert "has 0.0 GB left" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_said_before_any_work(
    grid: Grid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit = tmp_path / "limit"
    limit.write_text("1000000000\n")
    monkeypatch.setattr(resources, "CGROUPS", (tmp_path / "absent", limit))
    assert main(["benchmark", *grid(), "--workers", "2"]) == 1
    said = capsys.readouterr().err
    assert "each of 2 workers has 0.5 GB of memory" in said
    assert not (tmp_path / "out").exists()


def test_the_estimate_counts_parameters_once_whatever_the_batch(zoo: Zoo) -> None:
    module = EmulationModule(
        lambda spec: create_encoder("FlattenedWeights", spec, width=2000),
        zoo.spec.to_dict(),
        emulator_width=8,
    )
    one, many = (memory.estimate(module, zoo.problem, size) for size in (2, 64))
    assert many.bytes - one.bytes < 4 * one.parameters


def test_the_larger_estimate_is_larger_in_everything() -> None:
    # A step of a prediction may take more memory than emulation, which has more parameters.
    emulation, prediction = memory.Estimate(30, 10, 200), memory.Estimate(12, 10, 500)
    assert emulation.or_larger(prediction) == memory.Estimate(30, 10, 500)
    assert prediction.or_larger(emulation) == memory.Estimate(30, 10, 500)


def test_the_estimate_grows_as_what_a_step_keeps(zoo: Zoo) -> None:
    module = EmulationModule(
        lambda spec: create_encoder("InteractiveProbing", spec, reader_width=16),
        zoo.spec.to_dict(),
        emulator_width=8,
    )
    one, two, four = (memory.estimate(module, zoo.problem, size).bytes for size in (2, 4, 6))
    assert two > one
    assert four - two == pytest.approx(two - one, rel=1e-3)
    # What is kept is at least every gate of the probed RNNs, of the reader and of the emulator.
    steps = 22
    gates = 4 * (2 * zoo.spec.hidden_size + 2 * 16) * steps
    assert two - one > 2 * 2 * gates * torch.float32.itemsize
