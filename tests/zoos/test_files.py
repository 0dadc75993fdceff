"""Files are whole or not there, whoever else writes them and whatever goes wrong."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from wsrl.zoos.files import create_atomically, write_atomically, written_atomically


def test_a_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"two")]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    with pytest.raises(TypeError), written_atomically(tmp_path / "a") as file:
        file.writelines([b"tw", None])
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"one")]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    code = f"""
        import resource
        from pathlib import Path
        from wsrl.zoos.files import write_atomically

        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
        write_atomically(Path({str(tmp_path / "a")!r}), bytes(2000))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert f"File too large: '{tmp_path / 'a'}'" in ended.stderr.splitlines()[-1]
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"one")]


def test_several_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]

    def write(content: bytes) -> None:
        for _ in range(10):
            write_atomically(tmp_path / "a", content)
            assert (tmp_path / "a").read_bytes() in contents

    threads = [threading.Thread(target=write, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() in contents


@pytest.mark.parametrize("links", [True, False])
def test_of_several_creators_one_succeeds(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    made: list[bool] = []
    start = threading.Barrier(8)

    def create(letter: int) -> None:
        start.wait()
        made.append(create_atomically(tmp_path / "a", bytes([letter]) * 1000))

    threads = [threading.Thread(target=create, args=[letter]) for letter in b"abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert len(set((tmp_path / "a").read_bytes())) == 1
    with pytest.raises(FileNotFoundError, match="missing/a"):
        create_atomically(tmp_path / "missing" / "a", b"")
