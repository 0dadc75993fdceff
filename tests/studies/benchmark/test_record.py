"""A benchmark's folder: it may grow, not become another; results are strict JSON."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from wsrl.studies.benchmark.benchmark import finished
from wsrl.studies.benchmark.plan import plan
from wsrl.studies.benchmark.record import record_grid
from wsrl.studies.benchmark.results import (
    RECORD,
    RESULT,
    TRIALS,
    Result,
    Trial,
    read_result,
    read_results,
    write_result,
)
from wsrl.studies.benchmark.settings import BenchmarkSettings, BenchmarkZoo, Training


def settings(out: Path, steps: int = 7, **changes: Any) -> BenchmarkSettings:
    given: dict[str, Any] = {
        "zoos": {"a": BenchmarkZoo("task", path=str(out.parent / "zoo"))},
        "encoders": ["InteractiveProbing", str(out.parent / "mine.yaml")],
        "seeds": [0],
        "emulation": Training("emulation_small.yaml", {"trainer.max_steps": steps}),
        "prediction": Training("prediction.yaml"),
    }
    return BenchmarkSettings(**given | changes)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text("model: {init_args: {learning_rate: 0.1}}\n")
    return tmp_path / "out"


def record(out: Path, given: BenchmarkSettings) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    record_grid(out, given, plan(given, out))
    content: dict[str, Any] = json.loads((out / RECORD).read_text())
    return content


def test_a_grid_may_grow_and_shrink(out: Path) -> None:
    first = record(out, settings(out))
    assert record(out, settings(out)) == first
    grown = record(out, settings(out, seeds=[0, 1], modes=["frozen", "scratch"]))
    names = {trial["name"] for trial in grown["cells"]}
    assert {p.trial.name for p in plan(settings(out, seeds=[1]), out)} <= names
    shrunk = record(out, settings(out, seeds=[1]))  # whose first seed is embedded as well
    assert {trial["name"] for trial in shrunk["cells"]} == names  # what was there is not forgotten
    assert grown["fixed"].items() <= shrunk["fixed"].items()


@pytest.mark.parametrize("folder", ["out", "."])
def test_the_same_grid_is_the_same_from_any_folder(
    folder: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = record(out, settings(out))["fixed"]
    monkeypatch.chdir(out.parent)
    monkeypatch.chdir(folder)
    here = Path(os.path.relpath(out))
    zoos = {"a": BenchmarkZoo("task", path=os.path.relpath(out.parent / "zoo"))}
    encoders = ["InteractiveProbing", os.path.relpath(out.parent / "mine.yaml")]
    again = settings(out, zoos=zoos, encoders=encoders)
    assert record(here, again)["fixed"] == before
    zoos = {"a": BenchmarkZoo("task", path="another")}
    with pytest.raises(ValueError, match="holds another benchmark"):
        record(here, settings(out, zoos=zoos, encoders=encoders))


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"steps": 8}, "emulation.options.trainer.max_steps was 7 and is 8"),
    ({"prediction": Training("prediction.yaml", {"model.mode": "x"})}, "prediction.options"),
    ({"emulation": Training("emulation.yaml", {"trainer.max_steps": 7})}, "emulation.config"),
    ({"size": "small"}, "size was ''"),
]


@pytest.mark.parametrize("seeds", [[0], [1]])
@pytest.mark.parametrize(("changes", "said"), CHANGES)
def test_another_grid_is_not_mixed_in(
    changes: dict[str, Any], said: str, seeds: list[int], out: Path
) -> None:
    before = record(out, settings(out))
    with pytest.raises(ValueError, match="holds another benchmark") as error:
        record(out, settings(out, seeds=seeds, **changes))
    assert said in str(error.value)
    assert json.loads((out / RECORD).read_text()) == before
    record(out, settings(out, seeds=seeds))


def test_files_that_were_edited_make_another_grid(out: Path) -> None:
    (zoo := out.parent / "zoo").mkdir()
    (zoo / "manifest.json").write_text("{}")
    record(out, settings(out))
    (zoo / "manifest.json").write_text('{"seed": 1}')
    with pytest.raises(ValueError, match=r"zoos\.a\.checksum"):
        record(out, settings(out))
    (zoo / "manifest.json").write_text("{}")
    (out.parent / "mine.yaml").write_text("model: {init_args: {learning_rate: 0.2}}\n")
    with pytest.raises(ValueError, match=r"mine.yaml.model.init_args.learning_rate was 0.1 and"):
        record(out, settings(out))


def test_configs_of_one_name_are_not_mixed_up(out: Path) -> None:
    preset = "encoders/InteractiveProbing.yaml"
    record(out, settings(out, encoders=["InteractiveProbing"]))
    (out.parent / "InteractiveProbing.yaml").write_text("model: {init_args: {}}\n")
    own = settings(out, encoders=[str(out.parent / "InteractiveProbing.yaml")], seeds=[1])
    assert {f"configs/{preset}"} < set(record(out, own)["fixed"])


def test_a_folder_of_something_else_is_left_alone(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="no benchmark"):
        record(out, settings(out))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"cells": [3]},
        {"cells": [{"name": "a", "kind": "other"}]},
        {"fixed": []},
        {"fixed": None},  # as of earlier versions
        {"settings": 3},
    ],
)
def test_a_record_of_other_kinds_is_refused(out: Path, changes: dict[str, Any]) -> None:
    content = record(out, settings(out))
    (out / RECORD).write_text(json.dumps(content | changes))
    with pytest.raises(ValueError, match=r"does not describe a benchmark|of another version"):
        record(out, settings(out))


def test_trials_that_failed_are_not_done(out: Path) -> None:
    trials = plan(settings(out), out)
    for planned, error in zip(trials, [None, "no luck"], strict=False):
        folder = out / TRIALS / planned.trial.name
        folder.mkdir(parents=True)
        write_result(folder, Result(planned.trial, error, wall_seconds=2.5))
    assert set(finished(out, trials)) == {trials[0].trial.name}
    assert {result.error for result in read_results(out)} == {None, "no luck"}


def test_what_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    metrics = {"validation/r2": math.nan, "validation/mae": 0.5}
    curves = {"train/loss": ([1, 2], [0.5, math.inf])}
    write_result(tmp_path, Result(Trial("a", "zoo", "z"), metrics=metrics, curves=curves))
    path = tmp_path / RESULT
    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content["metrics"] == {"validation/r2": None, "validation/mae": 0.5}
    for earlier in (content, content | {"metrics": metrics, "unknown": 1}):
        path.write_text(json.dumps(earlier))
        found = read_result(path)
        assert found.metrics == pytest.approx(metrics, nan_ok=True)
        steps, values = found.curves["train/loss"]
        assert steps == [1, 2]
        assert values == pytest.approx([0.5, math.nan], nan_ok=True)
