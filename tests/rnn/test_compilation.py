"""Kernels are compiled once, anew when something has changed, and mended when damaged."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsrl.rnn.kernels import compilation

kernels = compilation.library("elementwise")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))

LITTLE = 'extern "C" long answer() { return 42; }'
LOAD = """
import sys, time
from pathlib import Path
from wsrl.rnn.kernels import compilation, cpu
compilation.SOURCES = Path(sys.argv[1])
time.sleep(max(0, float(sys.argv[3]) - time.time()))
print(compilation.load(Path(sys.argv[2]), "elementwise").answer())
"""


@needs_kernels
def test_processes_that_compile_at_once(tmp_path: Path) -> None:
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    (source / "elementwise.cpp").write_text(LITTLE)
    command = [sys.executable, "-c", LOAD, str(source), str(cache), str(time.time() + 2.5)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert out.strip() == "42", errors
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@needs_kernels
def test_a_changed_source_is_compiled_anew_and_a_broken_one_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "SOURCES", tmp_path / "source")
    (tmp_path / "source").mkdir()
    for value in (42, 43):
        (tmp_path / "source" / "elementwise.cpp").write_text(LITTLE.replace("42", str(value)))
        assert compilation.load(tmp_path / "cache", "elementwise").answer() == value
    (tmp_path / "source" / "elementwise.cpp").write_text("no C++ at all")
    with pytest.raises(
        compilation.CompilationError, match=r"could not compile the kernels \(.*error"
    ):
        compilation.load(tmp_path / "cache", "elementwise")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    (tmp_path / "file").touch()
    with pytest.raises(compilation.CompilationError, match="cannot be written or loaded"):
        compilation.load(tmp_path / "file", "elementwise")


@needs_kernels
@pytest.mark.parametrize("damage", ["half", "one byte", "empty"])
def test_a_damaged_library_is_compiled_once_more(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compilation, "SOURCES", tmp_path / "source")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "elementwise.cpp").write_text(LITTLE)
    cache = tmp_path / "cache"
    compilation.load(cache, "elementwise")
    (path,) = cache.iterdir()
    code = path.read_bytes()
    path.unlink()  # this process has the old file's memory: a new one takes its place
    other = bytes([code[len(code) // 2] ^ 1])
    middle = code[: len(code) // 2] + other + code[len(code) // 2 + 1 :]
    path.write_bytes({"half": code[: len(code) // 2], "one byte": middle, "empty": b""}[damage])
    for _ in range(2):
        assert compilation.load(cache, "elementwise").answer() == 42
    assert len(path.read_bytes()) == len(code)
    assert caplog.text.count("Compiling") == 2  # at first and after the damage


@needs_kernels
def test_the_compiler_may_be_named_with_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, *_ = compilation.find_compiler()
    monkeypatch.setattr(compilation, "SOURCES", tmp_path / "source")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "elementwise.cpp").write_text(LITTLE.replace("42", "ANSWER"))
    for value in (42, 43):
        monkeypatch.setenv("CXX", f"{compiler} -O1 '-DANSWER={value} + 0'")
        assert compilation.load(tmp_path / "cache", "elementwise").answer() == value
    assert len(list((tmp_path / "cache").iterdir())) == 2
    for wrong, message in [("missing -O2", "no C.. compiler"), ("'g++", "CXX is no command")]:
        monkeypatch.setenv("CXX", wrong)
        with pytest.raises(compilation.CompilationError, match=message):
            compilation.load(tmp_path / "cache", "elementwise")


def test_the_warning_is_true_of_every_library(caplog: pytest.LogCaptureFixture) -> None:
    compilation.warn_once.cache_clear()
    compilation.warn_once("the statistics cannot be loaded")
    compilation.warn_once.cache_clear()
    assert "PyTorch does the kernels' work instead" in caplog.text
    assert "Populations of RNNs run in PyTorch" not in caplog.text
