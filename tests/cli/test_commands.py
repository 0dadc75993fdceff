"""Commands are functions: their options, help and values come from signature and docstring."""

from __future__ import annotations

import inspect
import subprocess
import sys
from argparse import ArgumentError
from pathlib import Path

import docstring_parser
import pytest

from wsrl.cli import main
from wsrl.cli.commands import COMMANDS, WORDS, command, read
from wsrl.cli.parsing import Count
from wsrl.studies.baselines import BASELINES


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described_and_every_description_is_of_an_option(name: str) -> None:
    function = COMMANDS[name].function
    described = {known.arg_name for known in docstring_parser.parse(function.__doc__ or "").params}
    options = set(inspect.signature(function).parameters)
    assert described | {WORDS} == options | {WORDS}


@pytest.mark.parametrize(
    ("module", "words", "shown"),
    [
        ("wsrl", "--help", ["fit Train a model", "zoo Zoos: folders", "--import"]),
        ("wsrl.cli", "zoo --help", ["build Train a zoo", "Repair a damaged zoo"]),
        ("wsrl", "zoo pack --help", ["usage: wsrl zoo pack", "columns that are angles"]),
        ("wsrl.cli", "inspect --help", ["of the intervals (type: float, default: 0.9)"]),
    ],
)
def test_help_needs_no_torch(module: str, words: str, shown: list[str]) -> None:
    code = (
        "import runpy, sys, atexit\n"
        "atexit.register(lambda: print([m for m in ('torch', 'numpy') if m in sys.modules]))\n"
        f"sys.argv[1:] = {words.split()}\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0
    assert found.stdout.splitlines()[-1] == "[]"
    for text in shown:
        assert text in " ".join(found.stdout.split())


def test_options_of_classes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    helped = {
        "zoo build --problem tiled_images": ["--tile_size", "--part", "--hidden_size"],
        "fit": ["--data.zoo DIR", "--ckpt_path"],
        "baseline": [*BASELINES, "--data.split_seed"],
    }
    for words, options in helped.items():
        assert main([*words.split(), "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(option in shown for option in options)


@pytest.mark.parametrize(
    "words", ["nonsense", "zoo nonsense", "zoo", "zoo info", "encoders x", "zoo info z --jso"]
)
def test_a_wrong_command_has_status_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wsrl")
    assert ": error: " in line


def test_values_have_the_types_of_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrl.cli.commands.COMMANDS", {})

    @command("try")
    def attempt(files: list[str], *, size: Count = 3, rows: list[int] | None = None) -> None:
        """Try.

        Args:
            files: some
            size: 100% of them
            rows: others
        """

    del attempt
    from wsrl.cli import commands

    assert commands.read(["try", "a", "b"]) == {"files": ["a", "b"], "size": 3, "rows": None}
    found = commands.read(["try", "a", "--rows", "1", "2", "--size", "5"])
    assert found == {"files": ["a"], "size": 5, "rows": [1, 2]}
    for words in (["a", "--size", "0"], ["a", "--rows", "x"], [], ["a", "--siz", "4"]):
        with pytest.raises(ArgumentError):
            commands.read(["try", *words])


def test_a_build_is_read_without_building(tmp_path: Path) -> None:
    config = tmp_path / "zoo.yaml"
    config.write_text("problem: formal_languages\nlength: 20\nruns: 3\n")
    words = ["zoo", "build", "--runs", "5", "-c", str(config), "--out", "nowhere"]
    found = read([*words, "--quiet", "true"])
    assert (found["problem"].name, found["problem"].length) == ("formal_languages", 20)
    assert (found["settings"].runs, found["out"]) == (5, "nowhere")
    assert found["how"]["quiet"] is True
