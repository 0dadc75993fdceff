"""Problems of other packages: announced by entry point, used like ours."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest

from wsrl.cli import main
from wsrl.problems import (
    FormalLanguages,
    PackedRNNs,
    create_problem,
    get_problem,
    get_trainable_problem,
    list_problems,
    list_trainable_problems,
)
from wsrl.problems.registry import PROBLEMS
from wsrl.zoos import BuildSettings, build_zoo, open_zoo

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "problem.md"
(ECHO, *_) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Let a test register what it likes, and look for entry points anew."""
    with PROBLEMS.restored():
        yield


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str = "echo:Echo") -> None:
    """Put an installed package that announces a problem on the path."""
    (folder / "echo.py").write_text(ECHO)
    info = folder / "echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[wsrl.problems]\necho = {value}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_problem_of_another_package_is_built_and_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", monkeypatch)
    zoo, run = str(tmp_path / "zoo"), tmp_path / "run"
    build = ["zoo", "build", "--problem", "echo", "--length", "9", "--out", zoo]
    build += ["--runs", "16", "--snapshots", "[0, 4]", "--cell", "gru", "--hidden_size", "4"]
    assert main([*build, "--quiet", "true"]) == 0
    assert "length=9, delays=8, stored=10" in capsys.readouterr().out
    assert main(["zoo", "verify", zoo]) == 0
    quick = ["--data.zoo", zoo, "--data.steps_per_epoch", "2", "--trainer.max_steps", "2"]
    quick += ["--trainer.logger", "false", "--trainer.enable_model_summary", "false"]
    emulation = ["--model", "EmulationModule", "--model.encoder", "LayerwiseStatistics"]
    emulation += ["--model.emulator_width", "8", "--model.loss", "mean_squared_error"]
    assert main(["fit", *emulation, *quick, "--run", str(run)]) == 0
    assert main(["test", "--run", str(run), "--ckpt_path", "best"]) == 0
    metrics = json.loads((run / "test.json").read_text())["metrics"]
    assert not any("original_score" in name for name in metrics)  # no score is defined


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("echo:NoSuchThing", ""),
        ("echo:Echo", "1 +"),
        ("echo:Nameless", "from wsrl.problems import Problem\nclass Nameless(Problem): pass"),
    ],
)
def test_a_problem_that_does_not_load_is_named_and_harms_no_other(
    value: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", monkeypatch, value)
    (tmp_path / "site/echo.py").write_text(content)
    monkeypatch.delitem(sys.modules, "echo", raising=False)
    assert open_zoo(zoo_path).problem.name == "formal_languages"
    with pytest.warns(UserWarning, match=f"{value}.*does not load"):
        assert "formal_languages" in list_problems()
    with pytest.raises(ValueError, match="unknown problem 'echo'"):
        get_problem("echo")


def test_an_unknown_problem_lists_the_choices() -> None:
    with pytest.raises(ValueError, match=r"unknown problem 'chess'; choose one of .*packed"):
        create_problem("chess", {})


def test_nothing_is_built_of_packed_rnns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "packed" in list_problems()
    assert "packed" not in list_trainable_problems()
    assert get_trainable_problem("formal_languages") is FormalLanguages
    problem: Any = PackedRNNs(2, 2, "real", 3, 4, "normal")
    with pytest.raises(ValueError, match="wsrl zoo pack"):
        build_zoo(tmp_path / "zoo", problem, BuildSettings(runs=2))
    assert main(["zoo", "build", "--problem", "packed", "--out", str(tmp_path / "zoo")]) == 1
    error = capsys.readouterr().err
    assert "`wsrl zoo pack`" in error
    assert "formal_languages" in error
    assert not (tmp_path / "zoo").exists()
