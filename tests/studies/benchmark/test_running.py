"""Grids that are run for real: what is done stays, what fails is said, what is killed goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.studies.benchmark.conftest import QUICK, Grid
from tests.studies.benchmark.gated_encoder import AT, GATE
from tests.waiting import HANG_SECONDS, Gate, until
from wsrl.cli import main
from wsrl.jobs import locked
from wsrl.studies.benchmark.results import FAILURE, RESULT, TRIALS, Trial, read_results
from wsrl.studies.benchmark.work import LOG, make_folder

ROOT = Path(__file__).parents[3]
ONE = {"encoders": ["InteractiveProbing"], "modes": ["frozen"]}
GATED = {
    "encoders": ["LayerwiseStatistics", "tests.studies.benchmark.gated_encoder.Gated"],
    "compare_with": "LayerwiseStatistics",
    "other_modes": [],
}
OWN = '''\
import os
import pathlib
import signal

import torch

import wsrl


class Own(wsrl.Encoder):
    """Fails as long as there is no file named mended."""

    def __init__(self, spec: wsrl.RNNSpec, embedding_dim: int = 4) -> None:
        super().__init__(spec, embedding_dim)
        self.linear = torch.nn.Linear(spec.num_parameters, embedding_dim)

    def forward(self, weights: wsrl.RNNWeights) -> torch.Tensor:
        if self.training and not pathlib.Path("mended").exists():
            raise RuntimeError("this one is broken")
        return self.linear(weights.flat)
'''

RAISES = 'raise RuntimeError("this one is broken")'
STAY = """

def stay() -> None:
    signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("told").touch())
    pathlib.Path("begun").touch()
    while True:
        signal.pause()
"""


def numbers(out: Path) -> dict[str, Any]:
    """All that must not depend on how often a benchmark was interrupted."""
    return {r.trial.name: (r.metrics, r.curves, r.commands, r.error) for r in read_results(out)}


def portable(found: dict[str, Any], out: Path) -> Any:
    return json.loads(json.dumps(found).replace(str(out), "OUT"))


PATIENT = f"""
import sys
from wsrl.cli import main
from wsrl.jobs import local
local.STOPPING_SECONDS = {HANG_SECONDS}  # for the trials to save; no test depends on this number
sys.exit(main())
"""


def start(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start the command in a process of its own, in the folder one works in."""
    return subprocess.Popen(
        [sys.executable, "-c", PATIENT, "benchmark", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        text=True,
        **options,
    )


def test_what_is_done_is_left_out_and_a_folder_is_one_command_s(
    grid: Grid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = grid(**ONE, other_modes=[])
    assert main(["benchmark", *words, "--plan", "table"]) == 0
    assert "2 of 2 trials are to be run: hours unknown" in capsys.readouterr().out
    assert main(["benchmark", *words]) == 0
    out = tmp_path / "out"
    results = read_results(out)
    assert len(results) == 2
    for result in results:
        test = json.loads((out / "cells" / result.trial.name / "test.json").read_text())
        assert result.metrics == test["metrics"]
        assert result.wall_seconds > 0
        assert result.made_with["torch"]
        assert result.cost is not None
        assert result.cost.steps == QUICK["trainer.max_steps"]
        assert set(result.curves) >= {"validation/loss"} or result.trial.kind == "emulation"
    times = {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.*")}
    capsys.readouterr()
    assert main(["benchmark", *words, "--plan", "json"]) == 0
    plan = {row["trial"]: row for row in json.loads(capsys.readouterr().out)}
    emulation, prediction = plan
    assert plan[prediction]["needs"] == [emulation]
    for result in results:
        assert plan[result.trial.name]["done"]
        assert plan[result.trial.name]["hours"] == pytest.approx(result.wall_seconds / 3600)
    (out / "cells" / prediction / RESULT).rename(out / "aside")
    assert main(["benchmark", *words, "--plan", "table"]) == 0
    assert "1 of 2 trials are to be run" in capsys.readouterr().out
    (out / "aside").rename(out / "cells" / prediction / RESULT)
    assert main(["benchmark", *words]) == 0
    assert "2 trials, 2 of them done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.*")} == times
    with locked(out / "benchmark.lock", print):
        assert main(["benchmark", *words]) == 1
    assert f"process {os.getpid()} on " in capsys.readouterr().err


def test_a_trial_that_fails_or_dies_ends_no_other_and_is_tried_again(
    grid: Grid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_encoder.py").write_text(OWN)
    dying = OWN.replace(RAISES, "os.kill(os.getpid(), signal.SIGKILL)")
    (tmp_path / "dying_encoder.py").write_text(dying.replace("class Own", "class Dying"))
    encoders = ["LayerwiseStatistics", "broken_encoder.Own", "dying_encoder.Dying"]
    words = grid(**GATED | {"encoders": encoders, "modes": ["frozen"]})
    assert main(["benchmark", *words]) == 1
    said = capsys.readouterr()
    assert "Own/seed0/emulation: FAILED: RuntimeError: this one is broken" in said.out
    assert "Own/seed0/task-frozen: FAILED: left out, since" in said.out
    assert "failed: languages/Own/seed0/emulation" in said.err
    errors = {r.trial.encoder: r.error for r in read_results(tmp_path / "out")}
    assert "SIGKILL" in (died := str(errors.pop("Dying")))
    assert "output.log" in died
    assert errors == {"LayerwiseStatistics": None, "Own": "RuntimeError: this one is broken"}
    for failure in (tmp_path / "out").rglob(FAILURE):  # as they were called once
        failure.rename(failure.with_name(RESULT))
    (tmp_path / "mended").touch()
    assert main(["benchmark", *words]) == 0
    assert all(result.error is None for result in read_results(tmp_path / "out"))


@pytest.mark.parametrize("linked", [TRIALS, f"{TRIALS}/a", f"{TRIALS}/a/{LOG}"])
def test_nothing_is_written_through_a_link_that_leads_out(linked: str, tmp_path: Path) -> None:
    out, victim, trial = tmp_path / "out", tmp_path / "victim", Trial("a", "zoo", "z")
    (out / linked).parent.mkdir(parents=True)
    victim.mkdir()
    (victim / RESULT).write_text("precious")
    (out / linked).symlink_to(victim)
    with pytest.raises(ValueError, match="is a link that leads out of"):
        make_folder(out, trial)
    assert [path.name for path in victim.iterdir()] == [RESULT]
    (out / linked).unlink()
    assert make_folder(out, trial).is_dir()


def test_interrupted_again_and_again_it_gives_the_same_numbers(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, out, gate = grid(**GATED), tmp_path / "out", Gate(GATE)
    for number, at in ((signal.SIGKILL, 1), (signal.SIGTERM, 2), (signal.SIGINT, 6)):
        AT.write_text(str(at))
        process = start(words, stderr=subprocess.PIPE)
        until(lambda: gate.waiting() != [])
        process.send_signal(number)  # to it alone: its trials must hear of it by themselves
        _, said = process.communicate()
        until(lambda: gate.waiting() == [])
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number, said
            assert "run the same command again to go on" in said
    gate.open()
    assert main(["benchmark", *words]) == 0
    interrupted = portable(numbers(out), out)
    assert len(interrupted) == 6
    out.rename(tmp_path / "interrupted")
    assert main(["benchmark", *words]) == 0
    assert portable(numbers(out), out) == interrupted


def test_a_trial_that_does_not_end_is_killed_when_one_asks_twice(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stubborn_encoder.py").write_text(OWN.replace(RAISES, "stay()") + STAY)
    words = grid(encoders=["stubborn_encoder.Own"], compare_with="Own", modes=[], other_modes=[])
    process = start(words, stderr=subprocess.PIPE)
    until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    until((tmp_path / "told").exists)
    assert process.poll() is None  # its trial is given the time to save
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGINT, said
