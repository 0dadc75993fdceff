"""Problems of other packages: announced by entry point, used like ours."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
from safetensors import safe_open

from wsrl.cli import main
from wsrl.problems import (
    FormalLanguages,
    PackedRNNs,
    create_problem,
    get_problem,
    get_trainable_problem,
    list_problems,
    list_trainable_problems,
    register_problem,
)
from wsrl.problems.registry import PROBLEMS
from wsrl.zoos import BuildSettings, build_zoo, open_zoo

PARITY = '''
"""Somebody's problem: say at every step whether the masked bits so far add up to an odd number."""

import torch
from torch import nn

from wsrl import problems


class Parity(problems.TrainableProblem):
    name = "parity"
    output_kind = "categorical"
    input_size, output_size = 2, 2

    def __init__(self, length: int = 6, stored: int = 4):
        self.length, self.stored = length, stored

    def draw_tasks(self, seed, members):
        return torch.tensor(members)[:, None] % 8

    def columns(self):
        shape = (self.stored, self.length)
        return {
            "task": problems.Column("I64", (1,)),
            "performance": problems.Column("F32", ()),
            "sequences": problems.Column("I16", shape),
            "outputs": problems.Column("F16", (*shape, 2)),
        }

    def training_stream(self, tasks, members, seed, batch_size, unique_sequences):
        return Bits(self, tasks, seed, batch_size)

    def encode(self, sequences):
        return nn.functional.one_hot(sequences.long(), 2).float()

    def answers(self, sequences, tasks):
        return (sequences * ((tasks + 1) % 3 > 0)[..., None]).cumsum(-1) % 2

    def score(self, run, tasks, bits):
        outputs, _ = run(self.encode(bits), None)
        return outputs, (outputs.argmax(-1) == self.answers(bits, tasks)).float()

    def evaluate(self, run, tasks, members, seed, step):
        generator = torch.Generator().manual_seed(seed)
        bits = torch.randint(2, (len(tasks), self.stored, self.length), generator=generator)
        outputs, right = self.score(run, tasks, bits)
        known = {"task": tasks, "performance": right.mean((1, 2))}
        return known | {"sequences": bits.short(), "outputs": outputs.half()}

    def clone_scores(self, run, tasks, samples, generators):
        shape = (samples, self.length)
        bits = torch.stack([torch.randint(2, shape, generator=each) for each in generators])
        return self.score(run, tasks.long(), bits)[1].mean((1, 2))

    def targets(self, steps):
        task = problems.Target("task", "classes", values=tuple(range(8)))
        return {"task": task} | super().targets(steps)


class Bits(problems.TrainingStream):
    def __init__(self, problem, tasks, seed, batch_size):
        self.problem, self.tasks, self.seed, self.size = problem, tasks, seed, batch_size

    def batch(self, step):
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        shape = (len(self.tasks), self.size, self.problem.length)
        bits = torch.randint(2, shape, generator=generator)
        weights = torch.full(shape[:2], 1 / self.size)
        answers = self.problem.answers(bits, self.tasks)
        return problems.Batch(self.problem.encode(bits), answers, weights)
'''


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Let a test register what it likes, and look for entry points anew."""
    with PROBLEMS.restored():
        yield


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str = "parity:Parity") -> None:
    """Put an installed package that announces a problem on the path."""
    (folder / "parity.py").write_text(PARITY)
    info = folder / "parity-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parity\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[wsrl.problems]\nparity = {value}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_problem_of_another_package_builds_trains_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", monkeypatch)
    zoo, pretrained, predicted = (str(tmp_path / name) for name in ("zoo", "emulation", "task"))
    build = ["zoo", "build", "--problem", "parity", "--length", "5", "--out", zoo]
    build += ["--runs", "16", "--snapshots", "[0, 4]", "--cell", "gru", "--hidden_size", "4"]
    assert main([*build, "--quiet", "true"]) == 0
    assert "length=5, stored=4" in capsys.readouterr().out
    assert main(["zoo", "verify", zoo]) == 0

    quick = ["--data.zoo", zoo, "--data.steps_per_epoch", "2", "--trainer.max_steps", "2"]
    quick += ["--trainer.logger", "false", "--trainer.enable_model_summary", "false"]
    emulation = ["--model", "EmulationModule", "--model.encoder", "LayerwiseStatistics"]
    emulation += ["--model.emulator_width", "8", "--model.clone_sequences", "3"]
    assert main(["fit", *emulation, *quick, "--run", pretrained]) == 0
    assert main(["test", "--run", pretrained, "--ckpt_path", "best"]) == 0
    metrics = json.loads((Path(pretrained) / "test.json").read_text())["metrics"]
    assert 0 < metrics["ood/original_score"] < 1

    prediction = ["--model", "PredictionModule", "--model.target", "task"]
    prediction += ["--model.pretrained", str(Path(pretrained) / "checkpoints" / "best.ckpt")]
    assert main(["fit", *prediction, *quick, "--run", predicted]) == 0
    assert main(["predict", "--run", predicted, "--ckpt_path", "best"]) == 0
    with safe_open(Path(predicted) / "embeddings.safetensors", "pt") as file:
        assert file.get_slice("prediction").get_shape() == [32, 1]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("parity:NoSuchThing", PARITY),
        ("parity:Parity", "1 +"),
        ("parity:Parity", "Parity = 1"),
        ("parity:FormalLanguages", "from wsrl.problems import *"),
        (
            "parity:Nameless",
            "from wsrl.problems import Problem\nclass Nameless(Problem): pass",
        ),
    ],
)
def test_a_problem_that_does_not_load_is_named_and_harms_no_other(
    value: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", monkeypatch, value)
    (tmp_path / "site/parity.py").write_text(content)
    monkeypatch.delitem(sys.modules, "parity", raising=False)
    assert open_zoo(zoo_path).problem.name == "formal_languages"
    named = contextlib.nullcontext()
    if value != "parity:FormalLanguages":  # which is registered already: that is no harm
        named = pytest.warns(UserWarning, match=f"{value}.*does not load")
    with named:
        assert "formal_languages" in list_problems()
    with pytest.raises(ValueError, match="unknown problem 'parity'"):
        get_problem("parity")


def test_only_problems_can_be_registered_and_once() -> None:
    with pytest.raises(TypeError, match="subclasses of Problem"):
        register_problem(int)
    with pytest.raises(ValueError, match=r"'formal_languages' is registered already \(wsrl\."):
        register_problem(type("Twin", (FormalLanguages,), {}))


def test_an_unknown_problem_lists_the_choices() -> None:
    with pytest.raises(ValueError, match=r"unknown problem 'chess'; choose one of .*packed"):
        create_problem("chess", {})
    with pytest.raises(ValueError, match="settings of problem 'packed' do not fit"):
        create_problem("packed", {"size": 3})


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
