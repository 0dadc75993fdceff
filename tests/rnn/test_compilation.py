"""Kernels are compiled once, anew when something has changed, and mended when damaged."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.zoos.building import FORK, end
from wsrl.rnn.kernels import compilation

kernels = compilation.library("elementwise")
needs_kernels = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))

LITTLE = 'extern "C" long answer() { return 42; }'
MEETING = """#!/bin/sh
case "$*" in *" -c "*)
    mkdir "$MEETING/$$"
    while [ $(ls "$MEETING" | wc -l) -lt 2 ]; do sleep 0.01; done
esac
exec {} "$@"
"""
"""A compiler that does not begin before another process compiles too."""


@pytest.fixture
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of a library whose answer is 42."""
    monkeypatch.setattr(compilation, "SOURCES", tmp_path / "source")
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / "elementwise.cpp"
    source.write_text(LITTLE)
    compilation.log_once.cache_clear()
    return source


@needs_kernels
@pytest.mark.usefixtures("little")
def test_processes_that_compile_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, meeting = (tmp_path / name for name in ("cache", "meeting"))
    meeting.mkdir()
    compiler = tmp_path / "compiler"
    compiler.write_text(MEETING.format(*compilation.find_compiler()))
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("MEETING", str(meeting))

    def load() -> None:
        assert compilation.load(cache, "elementwise").answer() == 42

    running = [FORK.Process(target=load, daemon=True) for _ in range(2)]
    for process in running:
        process.start()
    assert [end(process) for process in running] == [0, 0]
    assert len(list(meeting.iterdir())) == 2
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@needs_kernels
def test_a_changed_source_is_compiled_anew_and_a_broken_one_explained(
    little: Path, tmp_path: Path
) -> None:
    for value in (42, 43):
        little.write_text(LITTLE.replace("42", str(value)))
        assert compilation.load(tmp_path / "cache", "elementwise").answer() == value
    little.write_text("no C++ at all")
    with pytest.raises(
        compilation.CompilationError, match=r"could not compile the kernels \(.*error"
    ):
        compilation.load(tmp_path / "cache", "elementwise")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    (tmp_path / "file").touch()
    with pytest.raises(compilation.CompilationError, match="cannot be written or loaded"):
        compilation.load(tmp_path / "file", "elementwise")


@needs_kernels
@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("damage", ["half", "one byte", "empty"])
def test_a_damaged_library_is_compiled_once_more(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    compilation.load(cache, "elementwise")
    (path,) = cache.iterdir()
    code = path.read_bytes()
    half = len(code) // 2
    path.unlink()  # this process has the old file's memory: a new one takes its place
    other = code[:half] + bytes([code[half] ^ 1]) + code[half + 1 :]
    path.write_bytes({"half": code[:half], "one byte": other, "empty": b""}[damage])
    for _ in range(2):
        assert compilation.load(cache, "elementwise").answer() == 42
    assert len(path.read_bytes()) == len(code)
    assert caplog.text.count("Compiling") == 2  # at first and after the damage


@needs_kernels
def test_the_compiler_may_be_named_with_options(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, *_ = compilation.find_compiler()
    little.write_text(LITTLE.replace("42", "ANSWER"))
    for value in (42, 43):
        monkeypatch.setenv("CXX", f"{compiler} -O1 '-DANSWER={value} + 0'")
        assert compilation.load(tmp_path / "cache", "elementwise").answer() == value
    assert len(list((tmp_path / "cache").iterdir())) == 2
    for wrong, message in [("missing -O2", "no C.. compiler"), ("'g++", "CXX is no command")]:
        monkeypatch.setenv("CXX", wrong)
        with pytest.raises(compilation.CompilationError, match=message):
            compilation.load(tmp_path / "cache", "elementwise")


def forged(cache: Path, source: Path) -> Path:
    """Put another library, with its checksum, under the name of the one that is looked for."""
    honest = cache.parent / "honest"
    compilation.load(honest, "elementwise")
    (name,) = (path.name for path in honest.iterdir())
    source.write_text(LITTLE.replace("42", "666"))
    other = cache.parent / "other"
    assert compilation.load(other, "elementwise").answer() == 666
    (library,) = other.iterdir()
    source.write_text(LITTLE)
    # Why the folder counts: where nobody else can write, the checksum alone protects from nobody.
    own = cache.parent / "own"
    for folder in (own, cache):
        folder.mkdir()
        shutil.copy(library, folder / name)
        (folder / name).chmod(0o600 if folder == own else 0o644)
    assert compilation.load(own, "elementwise").answer() == 666
    return cache / name


@needs_kernels
def test_a_library_where_others_can_write_is_not_loaded(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    library = forged(cache, little)
    before = library.read_bytes()
    cache.chmod(0o777)
    caplog.clear()
    for _ in range(2):
        assert compilation.load(cache, "elementwise").answer() == 42
    assert [path.read_bytes() for path in cache.iterdir()] == [before]
    assert list(scratch.iterdir()) == []
    assert len(caplog.records) == 1
    (line,) = caplog.text.splitlines()
    assert f"others can write {cache}" in line
    assert "go-w" in line
    cache.chmod(0o755)
    library.chmod(0o664)  # as a umask of 002 leaves it: made again, and kept from then on
    for count in (2, 2):
        assert compilation.load(cache, "elementwise").answer() == 42
        assert len(caplog.records) == count
    assert library.read_bytes() != before
    assert library.stat().st_mode & 0o777 == 0o600


@needs_kernels
@pytest.mark.parametrize("kind", ["link to where others write", "pipe", "link in a circle"])
def test_what_is_no_library_of_ones_own_is_replaced(
    kind: str, little: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    library = forged(cache, little)
    if kind == "pipe":
        library.unlink()
        os.mkfifo(library)
    elif kind == "link in a circle":
        library.unlink()
        library.symlink_to(library)
    else:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        shutil.move(library, tmp_path / "shared" / "library")
        library.symlink_to(tmp_path / "shared" / "library")
    assert compilation.load(cache, "elementwise").answer() == 42
    assert library.is_file()
    assert not library.is_symlink()


@needs_kernels
@pytest.mark.usefixtures("little")
def test_folders_that_are_made_are_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = os.umask(0o002)
    try:
        compilation.load(tmp_path / "a" / "b" / "c", "elementwise")
    finally:
        os.umask(kept)
    for folder in ("a", "a/b", "a/b/c"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    (tmp_path / "a").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a"))
    with pytest.raises(compilation.CompilationError, match="no safe folder"):
        compilation.load(tmp_path / "a" / "b" / "c", "elementwise")
