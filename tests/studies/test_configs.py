"""YAML from anybody: read where it is a config, refused in one line where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import lightning.pytorch  # noqa: F401 here, since its log keeps the stderr it finds at import
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from wsrl.cli import main
from wsrl.studies.configs import DEEPEST, LARGEST, MOST, check_yaml, read_config

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
    assert read_config(str(path)) == settings


def test_dates_are_text_and_aliases_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("run: 2024-01-01\na: &a {b: 1}\nc: *a\nd: {<<: *a, e: 1.5}\n")
    content = read_config(str(path))
    assert content == {"run": "2024-01-01", "a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 1.5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a {b: {c: *a}}", "is no YAML: a holds itself"),
        (f"a: {'[' * 100_000}{']' * 100_000}", f"is no YAML: it is nested more than {DEEPEST}"),
        (laughs(9), f"is no YAML: it stands for more than {MOST} values"),
        ("a: " + "x" * LARGEST, f"it has {LARGEST + 3} bytes, more than {LARGEST}"),
        ("a: *b", "found undefined alias, line 1, column 4"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: " + "1" * 5000, "is no config: Exceeds the limit"),
        ("a: {b: !!binary aGVsbG8=}", "could not determine a constructor"),
        ("trainer: {7: x}", "the name of a setting must be text, not 7"),
        ("- a", "must hold settings by name"),
    ],
)
def test_what_is_no_config_is_refused_in_one_line_that_names_the_file(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml") as error:
        read_config(str(path))
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


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, message in (("fifo", "no regular file"), ("", "no regular file"), ("x", "no config")):
        with pytest.raises(ValueError, match=message):
            read_config(str(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: 7", "run must be text, not 7"),
        ("trainer: null", "trainer must hold settings by name, not null"),
        ("trainer: {max_steps: x}", "trainer.max_steps: Expected a"),
        (
            "model: {class_path: EmulationModule, init_args: {encoder: Nope}}",
            "choose one of ConstantEmbedding, ",
        ),
        ("nope: 3", "Option 'nope' is not accepted"),
        (
            "data: {batch_size: 1000000000000000000}",
            "batch_size: must be less than or equal to 16777216, not 1",
        ),
    ],
)
def test_settings_that_cannot_be_are_one_line(
    text: str, message: str, tmp_path: Path, zoo_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    words = ["--model", "EmulationModule", "--data.zoo", str(zoo_path), "--config", str(path)]
    words += [] if "encoder" in text else ["--model.encoder", "LayerwiseStatistics"]
    words += [] if text.startswith("run") else ["--run", str(tmp_path / "run")]
    capsys.readouterr()
    assert main(["fit", *words]) in (1, 2)
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert "mine.yaml" in errors[0] or " must be " in errors[0]
    assert not (tmp_path / "run").exists()
