"""``wsrl inspect`` on RNNs that this package did not train."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

import wsrl
from tests.studies.conftest import Own
from tests.test_docs import ROOT
from wsrl.cli import main
from wsrl.rnn import RNNWeights, random_permutations
from wsrl.studies.inspection import Inspector
from wsrl.studies.inspection.skills import find_skill

Rnns = list[tuple[tuple[int, ...], Own]]


@pytest.fixture(scope="module")
def inspector(language_runs: Path) -> Inspector:
    return Inspector(language_runs / "emulation")


@pytest.fixture
def file(own_rnns: Rnns, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(own_rnns[2][1].state_dict(), path)
    return path


def inspected(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["inspect", *map(str, args), "--json"]) == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    facts: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return facts


def spelled(language: tuple[int, ...]) -> str:
    pairs = zip("abc", language, strict=True)
    return " ".join(f"{letter}^{f'(n{more:+d})' if more else 'n'}" for letter, more in pairs)


def test_the_language_of_an_own_rnn_is_named(own_rnns: Rnns, inspector: Inspector) -> None:
    named = near = 0
    for language, model in own_rnns:
        found = inspector.inspect(model)
        named += f"generates the language {spelled(language)}: " in found.skill.text
        near += sum(each.task == language for each in found.neighbours[:2])
    assert named >= 8  # of 10
    assert near >= 10  # of 20, where chance gives 2


def test_chance_is_no_skill(inspector: Inspector) -> None:
    """An RNN that ends at once writes a string of a language, as untrained ones do now and then."""
    problem = inspector.problem
    with torch.no_grad():
        mute = Own()
        mute.head.weight.zero_()
        mute.head.bias.zero_()
        weights, task = RNNWeights.from_module(mute), torch.tensor([[0, 0, 0]])
        guessing = find_skill(problem, weights, task, weights.spec)
        mute.head.bias[4] = 10.0
        ending = find_skill(problem, RNNWeights.from_module(mute), task, weights.spec)
    assert guessing.score > 0.15  # the empty string, once in five times
    assert guessing.performs is False
    assert ending.performs is True
    for seed in range(3):
        torch.manual_seed(seed)
        untrained = inspector.inspect(Own()).skill
        assert untrained.performs is False
        assert "performs none of 9 tasks of the zoo" in untrained.text


def test_json_is_whole_and_what_python_says(
    file: Path, language_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = language_runs / "emulation"
    facts = inspected(capsys, file, "--ckpt", run)
    assert facts == json.loads(json.dumps(wsrl.inspect_rnn(file, run).to_dict()))
    model = Own()
    model.load_state_dict(load_file(file))
    for rnn in (model, model.state_dict(), RNNWeights.from_module(model)):
        found = wsrl.inspect_rnn(rnn, run).to_dict()
        assumed = facts["assumed"] if isinstance(rnn, dict) else []  # others leave nothing open
        assert found == facts | {"source": None, "assumed": assumed}
    assert "starts from zero" in facts["assumed"]
    assert facts["source"] == str(file)
    assert math.hypot(*facts["embedding"]) == pytest.approx(1, abs=1e-5)
    task, performance = facts["properties"]["task"], facts["properties"]["performance"]
    assert task["source"] == str(language_runs / "task/checkpoints/best.ckpt")
    assert facts["properties"]["step"]["source"] == "neighbours"
    assert len(task["values"]) == len(task["probabilities"]) == 2
    assert performance["low"][0] < performance["values"][0] < performance["high"][0]
    assert len(facts["neighbours"]) == 5
    near = [each["distance"] for each in facts["neighbours"]]
    assert near == sorted(near)
    assert near[0] == facts["fit"]["distance"]["value"]
    zoo = wsrl.open_zoo(language_runs / "zoo")
    rows = torch.tensor([each["row"] for each in facts["neighbours"]])
    for name in ("run", "step", "task"):
        assert zoo.read(name, rows).tolist() == [each[name] for each in facts["neighbours"]]
    assert 0 < facts["imitation"]["own"]["value"] < 1
    assert facts["skill"]["task"] == [0, -1, 1]


def test_the_order_of_neurons_changes_nothing(inspector: Inspector, own_rnns: Rnns) -> None:
    weights = RNNWeights.from_module(own_rnns[0][1])
    order = random_permutations(weights.spec, 1, torch.Generator().manual_seed(0))
    facts = inspector.inspect(weights).to_dict()
    permuted = inspector.inspect(weights.permute(order)).to_dict()
    assert _close(facts, permuted)
    torn = RNNWeights(weights.flat.clone(), weights.spec)  # the readout keeps its order
    readout = weights.spec.tensors[-2]
    torn.flat[:] = weights.permute(order).flat
    torn.tensor(readout).copy_(weights.tensor(readout))
    assert not _close(facts, inspector.inspect(torn).to_dict())


def _close(one: Any, other: Any) -> bool:
    """Whether two inspections agree but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float):
        return bool(abs(one - other) < 1e-3)
    return isinstance(one, str) or bool(one == other)  # texts show the numbers, rounded


def test_what_is_strange_lies_outside(inspector: Inspector, own_rnns: Rnns) -> None:
    weights = RNNWeights.from_module(own_rnns[0][1])
    assert inspector.inspect(weights).fit.verdict == "within"
    found = inspector.inspect(RNNWeights(20 * weights.flat, weights.spec))
    assert found.fit.verdict == "outside"
    assert any("its weights are of another size" in reason for reason in found.fit.reasons)
    assert found.fit.weights.percentile == 100
    own = inspector.zoo.read("weights", torch.tensor([7]))
    nearest = inspector.inspect(RNNWeights(own, inspector.zoo.spec)).neighbours[0]
    assert nearest.row == 7
    assert nearest.distance == pytest.approx(0, abs=1e-5) == 1 - nearest.cosine


def test_measures_of_the_zoo_are_kept_for_this_checkpoint_only(
    file: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, kept = tmp_path / "best.ckpt", tmp_path / "inspection.safetensors"
    shutil.copy(language_runs / "emulation/checkpoints/best.ckpt", checkpoint)

    def inspect() -> tuple[str, str]:
        assert main(["inspect", str(file), "--ckpt", str(checkpoint)]) == 0
        return capsys.readouterr()

    first, said = inspect()
    assert "measuring the 270 RNNs" in said
    assert inspect() == (first, "")
    content = kept.read_bytes()
    for name, tensor in load(content).items():
        at = content.find(tensor.numpy().tobytes())
        assert at > 0
        changed = bytearray(content)
        changed[at + 3] ^= 0x40
        kept.write_bytes(changed)
        assert not torch.equal(load(bytes(changed))[name], tensor)
        again, said = inspect()
        assert f"{kept} has changed since it was written: it is made again" in said
        assert again == first
        assert kept.read_bytes() == content
    kept.write_bytes(content[:-100])
    assert inspect()[0] == first
    other = torch.load(checkpoint, weights_only=True)
    other["state_dict"]["emulator.readout.bias"][0] += 1
    torch.save(other, checkpoint)
    again, said = inspect()
    assert "measuring" in said
    assert again != first
    kept.unlink()
    kept.mkdir()  # no file can be put there, whoever asks: measured again each time
    for _ in range(2):
        assert "measuring" in inspect()[1]


@pytest.mark.parametrize("value", [math.nan, 1e30])
def test_an_encoder_that_diverged_is_not_the_rnns_fault(
    value: float,
    file: Path,
    language_runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = torch.load(language_runs / "emulation/checkpoints/best.ckpt", weights_only=True)
    for name, tensor in content["state_dict"].items():
        if name.startswith("encoder."):
            tensor.fill_(value)
    torch.save(content, tmp_path / "best.ckpt")
    assert main(["inspect", str(file), "--ckpt", str(tmp_path / "best.ckpt")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"the encoder in {tmp_path / 'best.ckpt'} gives no finite embedding" in error
    assert str(file) not in error
    assert main(["search", str(file), str(file), "--ckpt", str(tmp_path / "best.ckpt")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "note:" not in line]
    assert errors == [error.replace("wsrl inspect", "wsrl search")]


def failed(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert main(["inspect", *map(str, args)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1
    return error


def test_what_does_not_fit_is_one_error(
    file: Path,
    language_runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = language_runs / "emulation"
    for model, message in (
        (Own(), "nothing in a file is ever run"),
        ({k: v * math.nan for k, v in Own().state_dict().items()}, "not all numbers are finite in"),
        ({k: v.sign() * 3e38 for k, v in Own().state_dict().items()}, "weights so large"),
    ):
        torch.save(model, tmp_path / "model.pt")
        assert message in failed(capsys, tmp_path / "model.pt", "--ckpt", run)
    assert "at least one neighbour" in failed(capsys, file, "--ckpt", run, "--neighbours", 0)
    assert "no run and no checkpoint at" in failed(capsys, file, "--ckpt", tmp_path / "none")
    assert "no run and no checkpoint at" in failed(capsys, file, "--ckpt", language_runs / "zoo")
    assert "is of PredictionModule" in failed(capsys, file, "--ckpt", language_runs / "task")
    assert "is of EmulationModule" in failed(capsys, file, "--ckpt", run, "--predict", run)
    assert "not 'gru'" in failed(capsys, file, "--ckpt", run, "--cell", "gru")


def test_a_head_of_another_encoder_is_refused_or_passed_over(
    file: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("emulation", "task"):
        shutil.copytree(language_runs / name, tmp_path / name)
    checkpoint = tmp_path / "emulation/checkpoints/best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    next(v for k, v in content["state_dict"].items() if k.startswith("encoder."))[0] += 0.1
    torch.save(content, checkpoint)
    run = tmp_path / "emulation"
    facts = inspected(capsys, file, "--ckpt", run)
    assert facts["properties"]["task"]["source"] == "neighbours"
    error = failed(capsys, file, "--ckpt", run, "--predict", tmp_path / "task")
    assert "predicts from another encoder" in error
    assert str(language_runs / "emulation/checkpoints/best.ckpt") in error


def test_a_zoo_that_moved(
    file: Path, language_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = inspected(capsys, file, "--ckpt", language_runs / "emulation")
    moved = tmp_path / "elsewhere"
    shutil.copytree(language_runs / "zoo", moved)
    (language_runs / "zoo").rename(language_runs / "gone")
    try:
        error = failed(capsys, file, "--ckpt", language_runs / "emulation")
        assert "(--zoo DIR)" in error
        again = inspected(capsys, file, "--ckpt", language_runs / "emulation", "--zoo", moved)
    finally:
        (language_runs / "gone").rename(language_runs / "zoo")
    assert again == facts | {"zoo": str(moved)}


def test_every_key_of_the_json_is_documented(file: Path, language_runs: Path) -> None:
    text = (ROOT / "docs/inspection.md").read_text()
    facts = wsrl.inspect_rnn(file, language_runs / "emulation").to_dict()
    groups = [facts, facts["properties"]["task"], facts["neighbours"][0]]
    groups += [facts["imitation"], facts["imitation"]["zoo"], facts["skill"], facts["fit"]]
    for group in groups:
        for key in group:
            assert f"`{key}`" in text, key
