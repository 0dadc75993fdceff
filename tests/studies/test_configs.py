"""YAML from anybody: read where it is a config, refused in one line where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from wsrl.cli import main
from wsrl.studies.configs import DEEPEST, LARGEST, MOST, Config, check_yaml, configs_apart

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)
)


def laughs(levels: int, width: int = 10) -> str:
    """Return YAML of a few lines that stands for ``width ** levels`` values."""
    lists = (", ".join([f"*a{level}"] * width) for level in range(levels))
    lines = [f"a{level}: &a{level} [{inside}]" for level, inside in enumerate(lists, 1)]
    return "\n".join(["a0: &a0 [x]", *lines])


@given(st.dictionaries(st.text(min_size=1), PLAIN))
def test_whatever_settings_there_are_come_back(tmp_path: Path, settings: dict[str, object]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert Config.read(str(path)).content == settings


def test_dates_are_text_and_aliases_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("run: 2024-01-01\na: &a {b: 1}\nc: *a\nd: {<<: *a, e: 1.5}\n")
    content = Config.read(str(path)).content
    assert content == {"run": "2024-01-01", "a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 1.5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "is no YAML: a holds itself"),
        ("a: &a {b: {c: *a}}", "is no YAML: a holds itself"),
        (f"a: {'[' * 100_000}{']' * 100_000}", f"is no YAML: it is nested more than {DEEPEST}"),
        (laughs(9), f"is no YAML: it stands for more than {MOST} values"),
        ("a: " + "x" * LARGEST, f"it has {LARGEST + 3} bytes, more than {LARGEST}"),
        ("a: *b", "found undefined alias, line 1, column 4"),
        ("a: [1", "did not find expected ',' or ']', line 2, column 1"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: " + "1" * 5000, "is no config: Exceeds the limit"),
        ("a: !!timestamp 2024-99-99", "is no config: month must be in 1..12"),
        ("a: {b: !!binary aGVsbG8=}", ": a.b is a bytes: write it as text"),
        ("a: !!set {x, y}", ": a is a set: write it as text"),
        ("7: x", "the name of a setting must be text, not 7"),
        ("trainer: {7: x}", "the name of a setting must be text, not 7"),
        ("- a", "must hold settings by name"),
        ("", "must hold settings by name"),
    ],
)
def test_what_is_no_config_is_refused_in_one_line_that_names_the_file(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml") as error:
        Config.read(str(path))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_bounds_let_pass_what_is_just_within() -> None:
    check_yaml(f"{'[' * DEEPEST}{']' * DEEPEST}")
    check_yaml(laughs(3))
    check_yaml(f"[{', '.join(['1'] * (MOST - 1))}]")
    for text in (f"{'[' * (DEEPEST + 1)}", laughs(5), f"[{', '.join(['1'] * MOST)}]"):
        with pytest.raises(yaml.YAMLError):
            check_yaml(text)


def test_files_that_a_config_names_are_bounded_too(tmp_path: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--a", type=list[int])
    path = tmp_path / "config.yaml"
    path.write_text("a: [1, 2]\n")
    assert parser.parse_args([f"--config={path}"])["a"] == [1, 2]
    path.write_text("a: &a [*a]\n")
    with pytest.raises(Exception, match="holds itself"):
        parser.parse_args([f"--config={path}"])


def test_only_a_regular_file_or_a_pipe_of_the_shell_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="fifo is no config: no regular file"):
        Config.read(str(tmp_path / "fifo"))
    with pytest.raises(ValueError, match="no regular file"):
        Config.read(str(tmp_path))
    with pytest.raises(ValueError, match="no config file at"):
        Config.read(str(tmp_path / "nothing"))
    ours, theirs = os.pipe()
    text = "---\nproblem: formal_languages\n"
    try:
        os.write(theirs, text.encode())
        os.close(theirs)
        (config,), rest = configs_apart(["--config", f"/dev/fd/{ours}", "--runs", "3"])
    finally:
        os.close(ours)
    assert config.content == {"problem": "formal_languages"}
    assert config.word == f"--config={text}"  # since nobody could read it again
    assert rest == ["--runs", "3"]


def test_a_config_may_come_from_a_command(tmp_path: Path) -> None:
    command = '"$0" -m wsrl.cli zoo build --config <(echo "{problem: formal_languages, runs: x}")'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["bash", "-c", f"{command} --out {tmp_path / 'zoo'}", sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "runs: Expected a" in done.stderr  # so it was read
    assert "(in /dev/fd/" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: 7", "run must be text, not 7"),
        ("ckpt_path: {a: 1}", "ckpt_path must be text, not {'a': 1}"),
        ("trainer: null", "trainer must hold settings by name, not null"),
        ("model: [1]", "model must hold settings by name, not [1]"),
        ("data: 3", "data must hold settings by name, not 3"),
        ("trainer: {max_steps: x}", "trainer.max_steps: Expected a"),
        ("nope: 3", "Option 'nope' is not accepted"),
    ],
)
def test_settings_of_another_kind_are_one_line_that_names_the_file(
    text: str, message: str, tmp_path: Path, zoo_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = refused(text, tmp_path, zoo_path, capsys)
    assert message in shown
    assert "mine.yaml" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed_everything: 18446744073709551616", "seed_everything must be at least 0 and below"),
        ("trainer: {devices: 100000}", "trainer.devices is 100000: this machine has room for"),
        ("data: {batch_size: 1000000000000000000}", "batch_size must be at most 16777216, not 1"),
        ("data: {steps_per_epoch: 10000000000000000000}", "steps_per_epoch must be at most"),
    ],
)
def test_numbers_that_no_machine_could_use_are_refused(
    text: str, message: str, tmp_path: Path, zoo_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(text, tmp_path, zoo_path, capsys)


def refused(text: str, folder: Path, zoo: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line by which ``wsrl fit`` refuses a config."""
    path = folder / "mine.yaml"
    path.write_text(text)
    words = ["--model", "EmulationModule", "--model.encoder", "LayerwiseStatistics"]
    words += ["--data.zoo", str(zoo), "--config", str(path)]
    words += [] if text.startswith("run") else ["--run", str(folder / "run")]
    capsys.readouterr()
    assert main(["fit", *words]) in (1, 2)
    shown = capsys.readouterr().err
    errors = [line for line in shown.splitlines() if line.startswith("wsrl fit: error: ")]
    assert len(errors) == 1
    assert "Traceback" not in shown
    assert not (folder / "run").exists()
    return errors[0]
