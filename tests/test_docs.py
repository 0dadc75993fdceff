"""What README and documentation show runs as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from tests.conftest import DATA
from wsrl.cli import main
from wsrl.encoders import list_encoders
from wsrl.encoders.registry import ENCODERS
from wsrl.problems.registry import PROBLEMS
from wsrl.rnn import get_cell, list_cells
from wsrl.rnn.cells.registry import CELLS
from wsrl.tasks.heads import HEADS
from wsrl.tasks.losses import LOSSES
from wsrl.tasks.targets import TARGETS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that one works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks of code of a page, each after its language."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```(python|bash)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def block(containing: str, page: str = "README.md") -> str:
    (found,) = [code for _, code in blocks(page) if containing in code]
    return found


def commands(text: str) -> list[list[str]]:
    """The words of every ``wsrl`` command, without the first."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words[:1] == ["wsrl"]]


def run_commands(text: str) -> int:
    """Run every ``wsrl`` command; return how many there are."""
    found = commands(text)
    for words in found:
        assert main(words) == 0, words
    return len(found)


def run_page(name: str, *languages: str) -> None:
    """Run the blocks of code of a page; what they register stays."""
    page = name if "/" in name else f"docs/extend/{name}"
    names: dict[str, object] = {"__name__": "__main__"}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, page, "exec", dont_inherit=True), names)
        elif language in languages:
            run_commands(code)


@pytest.mark.parametrize("page", [path for path in PAGES if path.parent.name == "extend"], ids=str)
def test_the_code_of_a_page_runs(page: Path) -> None:
    registries = (PROBLEMS, CELLS, ENCODERS, TARGETS, HEADS, *LOSSES.values())
    with ExitStack() as restored:
        for registry in registries:
            restored.enter_context(registry.restored())
        run_page(page.name)


@pytest.mark.parametrize(
    "page", ["docs/tutorials/notebook.md", "docs/tutorials/variable_memories.md"]
)
def test_pages_run_as_notebooks(page: str) -> None:
    run_page(page)


def test_fifty_rnns_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("configs").symlink_to(ROOT / "configs")
    run_page("docs/howto/own_rnns.md", "bash")
    said = capsys.readouterr().out
    assert "threshold  real\n  optimiser  2 classes: Adam, SGD" in said
    assert "undefined" not in said
    found = pd.read_csv("predictions.csv").sort_values("name")
    assert found["name"].tolist() == [f"seed{seed:02d}/model.pt" for seed in range(50)]
    assert found["hidden_size"].tolist() == [*[6, 8, 12] * 16, 6, 8]
    assert found["optimiser"].tolist() == ["Adam", "SGD"] * 25
    assert set(found["predicted_optimiser"]) <= {"Adam", "SGD"}
    assert "50 3 ('Adam', 'SGD')\n" in said
    assert [line.split()[-1] for line in said.splitlines()[-3:]] == ["unknown"] * 3


def test_files_of_other_libraries_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/howto/files.md")
    said, tried = capsys.readouterr().out.splitlines()
    assert said == tried == "leaky 1x20, 3 inputs, 2 outputs, no biases, own first state"


def test_a_problem_of_ones_own_is_short() -> None:
    (_, problem), *_ = blocks("docs/extend/problem.md")
    assert "TrainableProblem" in problem
    assert len(problem.splitlines()) <= 60


@pytest.mark.parametrize(("folder", "tables"), [("small", 2), ("medium", 2), ("sampled", 2)])
def test_the_results_are_those_of_the_report(folder: str, tables: int) -> None:
    script = [sys.executable, "benchmarks/results_tables.py", f"docs/results/{folder}"]
    printed = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = printed.strip().split("\n\n")
    assert len(found) == tables
    assert "**" in found[0]
    for table in found:
        assert table in (ROOT / "docs/results.md").read_text()


def test_an_encoder_in_twenty_lines(
    zoo_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = block("register_encoder")
    lines = [line for line in code.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 20
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(here))])
    Path("my_encoder.py").write_text(code)
    Path("configs").symlink_to(ROOT / "configs")
    Path("zoos").mkdir()
    Path("zoos/small").symlink_to(zoo_path)
    (words,) = commands(block("--model.encoder my_encoder.TensorNorms"))
    with ENCODERS.restored():
        assert main([*words, "--trainer.fast_dev_run", "true"]) == 0


SMALL: dict[str, dict[str, Any]] = {
    "configs/zoo/formal_languages_small.yaml": {
        "runs": 10,
        "snapshots": [0, 2, 4],
        "group_size": 10,
        "hidden_size": 4,
        "evaluated_strings": 8,
        "stored_strings": 4,
    },
    "configs/zoo/variable_binding_small.yaml": {
        "runs": 3,
        "snapshots": [0, 1, 2],
        "hidden_size": 20,
        "evaluated_sequences": 4,
        "stored_sequences": 2,
    },
    "configs/emulation_small.yaml": {
        "model": {"init_args": {"emulator_width": 8, "clone_rnns": 2, "clone_sequences": 2}},
        "data": {"batch_size": 4, "steps_per_epoch": 2},
        "trainer": {"max_steps": 4},
    },
    "configs/encoders/InteractiveProbing_small.yaml": {
        "model": {"init_args": {"encoder": {"init_args": {"probing_length": 3}}}}
    },
    "configs/prediction.yaml": {"data": {"steps_per_epoch": 2}, "trainer": {"max_steps": 4}},
}


@pytest.fixture
def small_configs(here: Path) -> None:
    """The configs that commands use, made small."""

    def change(config: dict[str, Any], changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if isinstance(value, dict):
                change(config[name], value)
            else:
                config[name] = value

    for name, changes in SMALL.items():
        config = yaml.safe_load((ROOT / name).read_text())
        change(config, changes)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(yaml.safe_dump(config))


@pytest.mark.usefixtures("small_configs")
def test_the_study_runs_command_by_command() -> None:
    assert run_commands(block("runs/interactive-task").replace("8000", "6")) == 10
    for name in ("interactive-task", "trees-task"):
        assert Path(f"runs/{name}/test.json").is_file()
    assert Path("embeddings.safetensors").is_file()


def test_own_rnns_become_a_zoo() -> None:
    Path("models").mkdir()
    for number in range(3):
        parts = nn.ModuleDict({"rnn": nn.GRU(3, 4), "readout": nn.Linear(4, 2)})
        torch.save(parts.state_dict(), f"models/{number}.pt")
    Path("runs.csv").write_text("file,animal\n0.pt,mouse\n1.pt,rat\n2.pt,rat\n")
    assert main(commands(block("zoo pack"))[-1]) == 0
    assert main(["zoo", "verify", "zoos/mine"]) == 0


@pytest.mark.usefixtures("small_configs")
def test_variable_memories_are_analysed(capsys: pytest.CaptureFixture[str]) -> None:
    own = nn.ModuleDict({"rnn": nn.RNN(4, 20, bias=False), "linear": nn.Linear(20, 4, bias=False)})
    save_file(own.state_dict(), "model.safetensors")
    code = block("memory analyze", "docs/tutorials/variable_memories.md")
    run_commands(code.rpartition("wsrl memory")[0])
    capsys.readouterr()
    run_commands(f"wsrl memory{code.rpartition('wsrl memory')[2]}")
    assert json.loads(capsys.readouterr().out)["verdict"] == "no basis"
    assert Path("look/spectra.png").is_file()


def test_comparisons_are_planned(capsys: pytest.CaptureFixture[str]) -> None:
    *benchmarks, report = commands(block("wsrl benchmark", "docs/howto/compare.md"))
    assert len(benchmarks) == 5
    assert report[0] == "report"  # run in tests/studies/report
    for words in benchmarks:
        assert main([*words, "--plan", "json"]) == 0, words
    planned = capsys.readouterr().out
    assert "mnist/TensorNorms/seed12/angle-finetune" in planned
    assert "--model.encoder my_encoder.TensorNorms" in planned


def test_rnns_are_told_apart(zoo_path: Path) -> None:
    Path("zoos").mkdir()
    Path("zoos/small").symlink_to(zoo_path)
    run_page("docs/howto/interrogate.md", "bash")
    assert len(json.loads(Path("interrogation.json").read_text())["rnns"]) == 3


def test_dynamics_are_found(zoo_path: Path) -> None:
    Path("zoos").mkdir()
    Path("zoos/small").symlink_to(zoo_path)
    run_commands(block("--hold 200", "docs/howto/dynamics.md"))
    assert len(Path("slower/dynamics.csv").read_text().splitlines()) == 4
    run_page("docs/howto/dynamics.md", "python")


@pytest.mark.skipif(not (DATA / "official").is_dir(), reason=f"no official sample at {DATA}")
def test_a_published_zoo_comes_back_byte_for_byte() -> None:
    published = DATA / "official/sequential_mnist"
    Path("sequential_mnist_tile_4x4_model_2x32").symlink_to(published.resolve())
    run_commands(block("zoo import", "docs/howto/zoos.md"))
    for path in published.iterdir():
        assert Path("published_again", path.name).read_bytes() == path.read_bytes()


def test_the_python_example() -> None:
    names: dict[str, Any] = {}
    exec(block("from_module"), names)
    assert names["outputs"].shape == (1, 5, 20, 6)
    assert names["embedding"].shape == (1, 16)


def test_every_encoder_is_listed() -> None:
    page = (ROOT / "docs/concepts/encoders.md").read_text()
    assert all(f"| `{name}` |" in page for name in list_encoders())


def test_every_cell_and_its_options_are_listed() -> None:
    page = (ROOT / "docs/concepts/cells.md").read_text()
    for name in list_cells():
        assert f"| `{name}` |" in page
        assert all(f"| `{option.name}` |" in page for option in fields(get_cell(name)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_or_linked_exist(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"configs/[\w/.-]+\.yaml", text):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / path).exists(), path
    assert page.name != "README.md" or len(text.splitlines()) <= 150
