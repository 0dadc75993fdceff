"""What README and documentation show runs as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file
from torch import nn

from tests.conftest import DATA
from wsrl.cli import main
from wsrl.encoders.registry import ENCODERS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return [str(found) for found in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def block(language: str, containing: str, page: str = "README.md") -> str:
    (found,) = [text for text in blocks(page, language) if containing in text]
    return found


def commands(text: str) -> list[list[str]]:
    """The words of every ``wsrl`` command, without the first."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words[:1] == ["wsrl"]]


def test_the_results_are_those_of_the_report() -> None:
    script = [sys.executable, "benchmarks/results_tables.py", "docs/results/small"]
    printed = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tables = printed.strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert "**" in table
        assert table in (ROOT / "docs/results.md").read_text()


def test_an_encoder_in_twenty_lines(
    zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = block("python", "register_encoder")
    lines = [line for line in code.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    (tmp_path / "my_encoder.py").write_text(code)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "zoos").mkdir()
    (tmp_path / "zoos/small").symlink_to(zoo_path)
    command = block("bash", "--model.encoder my_encoder.TensorNorms").replace("\\\n", " ").split()
    assert command[0] == "wsrl"
    with ENCODERS.restored():
        assert main([*command[1:], "--trainer.fast_dev_run", "true"]) == 0


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
"""The configs that commands use, made small."""


def write_small_configs() -> None:
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


def test_the_study_runs_command_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_configs()
    run = commands(block("bash", "runs/interactive-task").replace("8000", "6"))
    assert len(run) == 10
    for words in run:
        assert main(words) == 0, words
    for name in ("interactive-task", "trees-task"):
        assert (tmp_path / "runs" / name / "test.json").is_file()
    assert (tmp_path / "embeddings.safetensors").is_file()


def test_comparisons_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    *benchmarks, report = commands(block("bash", "wsrl benchmark", "docs/howto/compare.md"))
    assert len(benchmarks) == 4
    assert report[0] == "report"  # run in tests/studies/report
    for words in benchmarks:
        assert main([*words, "--list"]) == 0, words
    planned = capsys.readouterr().out
    assert "mnist/TensorNorms/seed12/angle-finetune" in planned
    assert "--model.encoder my_encoder.TensorNorms" in planned


def test_variable_memories_are_analysed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_configs()
    own = nn.ModuleDict({"rnn": nn.RNN(4, 20, bias=False), "linear": nn.Linear(20, 4, bias=False)})
    save_file(own.state_dict(), "model.safetensors")
    page = "docs/tutorials/variable_memories.md"
    run = commands(block("bash", "memory analyze", page))
    assert len(run) == 4
    for words in run:
        capsys.readouterr()
        assert main(words) == 0, words
    assert json.loads(capsys.readouterr().out)["verdict"] == "no basis"
    assert (tmp_path / "look/spectra.png").is_file()


def test_rnns_are_told_apart(
    zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoos").mkdir()
    (tmp_path / "zoos/small").symlink_to(zoo_path)
    for words in commands(block("bash", "wsrl interrogate", "docs/howto/interrogate.md")):
        assert main(words) == 0, words
    assert len(json.loads((tmp_path / "interrogation.json").read_text())["rnns"]) == 3
    exec(block("python", "path_functions", "docs/howto/interrogate.md"), {})


@pytest.mark.skipif(not (DATA / "official").is_dir(), reason=f"no official sample at {DATA}")
def test_a_published_zoo_comes_back_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    published = DATA / "official/sequential_mnist"
    (tmp_path / "sequential_mnist_tile_4x4_model_2x32").symlink_to(published.resolve())
    for words in commands(block("bash", "zoo import", "docs/howto/zoos.md")):
        assert main(words) == 0
    for path in published.iterdir():
        assert (tmp_path / "published_again" / path.name).read_bytes() == path.read_bytes()


def test_the_python_example(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(block("python", "from_module"), names)
    assert names["outputs"].shape == (1, 5, 20, 6)
    assert names["embedding"].shape == (1, 16)


def test_every_encoder_is_listed() -> None:
    from wsrl import list_encoders

    page = (ROOT / "docs/concepts/encoders.md").read_text()
    for name in list_encoders():
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_or_linked_exist(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"configs/[\w/.-]+\.yaml", text):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / path).exists(), path


@pytest.mark.parametrize(
    "page", ["docs/tutorials/notebook.md", "docs/tutorials/variable_memories.md"]
)
def test_pages_run_as_notebooks(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(code, names)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
