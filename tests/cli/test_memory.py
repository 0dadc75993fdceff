"""``wsrl memory analyze``, run for real in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.analysis.circuits import interactions_of, orthonormal
from wsrl.analysis.episodic_memory import circuit
from wsrl.analysis.trust import RULES
from wsrl.cli import main
from wsrl.problems.binding_tasks import BindingTask
from wsrl.rnn import RNNWeights

REPEAT = ["--task", "15,0,0", "--steps", "4", "--dims", "4", "--cell", "tanh"]
FAST = ["--horizon", "30", "--sequences", "16"]
SIZES = ["--steps", "4", "--dims", "4"]


def save(folder: Path, weights: RNNWeights, name: str = "model.safetensors") -> Path:
    state = {key: value[0].contiguous() for key, value in weights.tensors().items()}
    if name.endswith(".pt"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)
    return folder / name


def circuit_of(task: BindingTask, size: int = 32, scale: float = 1e-3) -> RNNWeights:
    """A tanh circuit in its linear range."""
    own = interactions_of(task)
    memories = orthonormal(np.random.default_rng(0), size, own.rank)
    return circuit(own, scale * memories, "tanh")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path, circuit_of(BindingTask.from_name("repeat_copy", 4, 4)))


@pytest.fixture(scope="module")
def binding_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zoos") / "binding"
    options = ["--problem", "variable_binding", "--out", str(path), "--steps", "2", "--dims", "2"]
    options += ["--runs", "3", "--snapshots", "[0, 4]", "--hidden_size", "8", "--quiet", "true"]
    options += ["--cell", "tanh", "--bias", "false", "--num_layers", "1"]
    options += ["--evaluated_sequences", "8", "--stored_sequences", "4"]
    assert main(["zoo", "build", *options]) == 0
    return path


def analyze(capsys: pytest.CaptureFixture[str], *args: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["memory", "analyze", *map(str, args), "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def refused(capsys: pytest.CaptureFixture[str], *args: str | Path, status: int = 1) -> str:
    capsys.readouterr()
    assert main(["memory", "analyze", *map(str, args)]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    return captured.err


def test_a_file_is_read_in_its_own_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In float32 rounding would show: this basis has as many memories as neurons."""
    own = interactions_of(BindingTask.from_name("repeat_copy", 4, 4))
    weights = circuit(own, np.random.default_rng(0).normal(size=(16, 16)))
    options = ["--cell", "linear", "--grounding", "input", *FAST]
    for name in ("model.safetensors", "model.pt"):
        found = analyze(capsys, save(tmp_path, weights, name), *REPEAT, *options)
        assert found["interaction_error"] < 1e-11
    rounded = save(tmp_path, weights.to("cpu", torch.float32))
    assert analyze(capsys, rounded, *REPEAT, *options)["interaction_error"] > 1e-8


def test_without_a_basis_the_spectral_error_is_null_and_spectra_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    modules = nn.ModuleDict({"rnn": nn.RNN(4, 32, bias=False), "linear": nn.Linear(32, 4, False)})
    save_file(modules.state_dict(), tmp_path / "random.safetensors")
    args = [tmp_path / "random.safetensors", *REPEAT, *FAST, "--out", tmp_path / "look"]
    found = analyze(capsys, *args)
    assert found["spectral_error"] is None
    assert found["verdict"] == "no basis"
    assert found["reasons"][0].startswith("rank mismatch: ")
    names = {file.name for file in (tmp_path / "look").iterdir()}
    assert names == {"spectra.png", "memory.json", "memory.csv"}
    assert main(["memory", "analyze", *map(str, args)]) == 0
    assert "rank mismatch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ("--start inputs", "doubtful"),
        ("--grounding observability --moduli unit", "trusted"),
        ("--dual pseudo_inverse", "trusted"),
    ],
)
def test_a_linear_circuit_is_started_in_its_variables_unless_told_otherwise(
    options: str, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path, circuit_of(BindingTask.from_name("compose_copy", 4, 4), scale=1.0))
    args = [file, "--task", "compose_copy", "--steps", "4", "--dims", "4", "--cell", "linear"]
    found = analyze(capsys, *args, *options.split())
    assert found["verdict"] == verdict
    assert (found["variables_read_first"] is None) == (verdict == "trusted")
    assert found["interaction_error"] < 1e-5


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, "lstm"), (nn.GRU, "gru"), (nn.RNN, "tanh")])
def test_every_cell_with_biases_is_analysed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: type[nn.Module], gates: str
) -> None:
    torch.manual_seed(0)
    modules = nn.ModuleDict({"rnn": kind(4, 10), "linear": nn.Linear(10, 4)})
    file = tmp_path / "model.pt"
    torch.save(modules.state_dict(), file)
    args = ["--task", "compose_copy", "--steps", "4", "--dims", "4", *FAST]
    if kind is nn.RNN:
        said = refused(capsys, file, *args)
        assert "the file does not tell which RNN it is: cell relu or tanh" in said
        assert "--cell relu or tanh " in said
        args += ["--cell", gates]
    found = analyze(capsys, file, *args)
    assert found["rnn"].startswith(gates)
    assert found["verdict"] == "no basis"
    assert found["fixed_point_residual"] < 1e-6


def test_what_a_file_does_not_say_is_said_or_settled_by_a_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rnn, head = nn.RNN(4, 20, batch_first=True), nn.Linear(20, 4)
    file, reference = tmp_path / "model.ckpt", tmp_path / "io.safetensors"
    model = nn.ModuleDict({"rnn": rnn, "fc": head, "norm": nn.LayerNorm(20)})
    torch.save({"state_dict": model.state_dict()}, file)
    inputs = torch.randn(2, 5, 4)
    outputs = head(rnn(inputs)[0]).detach()
    save_file({"inputs": inputs, "outputs": outputs}, reference)
    args = [file, *REPEAT[:-2], *FAST]
    assert "unknown keys: norm.weight" in refused(capsys, *args, "--cell", "tanh")
    args += ["--ignore", "norm"]
    assert "--cell relu or tanh" in refused(capsys, *args)
    assert analyze(capsys, *args, "--reference", reference)["rnn"].startswith("tanh")
    assert analyze(capsys, *args, "--said.nonlinearity", "relu")["rnn"].startswith("relu")
    wrong = refused(capsys, *args, "--said.nonlinearity", "relu", "--reference", reference)
    assert "outputs differ from the reference's by" in wrong


def test_tables_and_pictures_are_written(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "look"
    found = analyze(capsys, model, *REPEAT, *FAST, "--out", out)
    assert set(found) >= {rule.figure for rule in RULES}
    assert (found["rank_found"], found["rank_expected"]) == (16, 16)
    assert found["spectral_error"] < 1e-6
    assert (found["verdict"], found["reasons"]) == ("trusted", [])
    pictures = {"interactions.png", "spectra.png", "hidden_state.png"}
    assert {file.name for file in out.iterdir()} == pictures | {"memory.json", "memory.csv"}
    assert json.loads((out / "memory.json").read_text()) == found
    (row,) = csv.DictReader((out / "memory.csv").open())
    assert row["verdict"] == "trusted"
    assert float(row["condition_number"]) == found["condition_number"]


def test_a_zoo_is_a_table(
    binding_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "table"
    assert main(["memory", "analyze", str(binding_zoo), *FAST, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 6 + 1
    assert lines[-1].startswith("6 snapshots: ")
    content = json.loads((out / "memory.json").read_text())
    rows = list(csv.DictReader((out / "memory.csv").open()))
    assert [row["verdict"] for row in rows] == [one["verdict"] for one in content["snapshots"]]
    assert {int(row["step"]) for row in rows} == {0, 4}
    one, known = analyze(capsys, binding_zoo, *FAST, "--row", "3"), content["snapshots"][3]
    assert [one[name] for name in ("verdict", "run", "rank_found")] == [
        known[name] for name in ("verdict", "run", "rank_found")
    ]
    for rule in RULES:
        assert one[rule.figure] == pytest.approx(known[rule.figure])


def test_what_does_not_fit_is_refused(
    model: Path, binding_zoo: Path, zoo_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tanh = [*SIZES, "--cell", "tanh"]
    assert "must have 4 set bits" in refused(capsys, model, "--task", "14,0,0", *tanh)
    large = ["--task", "repeat_copy", "--steps", "9", "--dims", "4", "--cell", "tanh"]
    assert "no basis can exist: the task keeps 36" in refused(capsys, model, *large)
    assert "File exists" in refused(capsys, model, *large, "--out", model)  # before the work
    assert "File exists" in refused(capsys, binding_zoo, "--out", model)
    other = ["--task", "repeat_copy", "--steps", "2", "--dims", "3", "--cell", "tanh"]
    assert "4 inputs and 4 outputs, the task 3" in refused(capsys, model, *other)
    assert "a zoo of formal_languages" in refused(capsys, zoo_path)
    assert "rows 0..5, not 9" in refused(capsys, binding_zoo, "--row", "9")
    assert "cell is linear or " in refused(capsys, model, *REPEAT, "--cell", "gru")


def test_what_makes_no_sense_is_a_usage_error(
    model: Path, binding_zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["--task", "15,0,0"], [*REPEAT, "--row", "1"]):
        assert "--steps, --dims, and no --row" in refused(capsys, model, *options, status=2)
    assert "no --task" in refused(capsys, binding_zoo, "--task", "15,0,0", status=2)
