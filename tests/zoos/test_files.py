"""Files are whole or not there, whoever else writes them and whatever goes wrong."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.zoos.building import FORK
from wsrl.zoos.files import partial_file, remove_leftovers, write_atomically, written_atomically


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path / 'a'}'"):
            write_atomically(tmp_path / "a", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"one")]


@pytest.mark.parametrize("write", [written_atomically, partial_file])
def test_only_what_a_dead_process_left_is_deleted(
    write: Callable[..., Any], tmp_path: Path
) -> None:
    here, there = FORK.Pipe()

    def hold() -> None:
        with write(tmp_path / "a"):
            there.send("writing")
            there.recv()

    writer = FORK.Process(target=hold, daemon=True)
    writer.start()
    assert here.recv() == "writing"
    (found,) = tmp_path.iterdir()
    assert found.name.endswith(".partial")
    remove_leftovers(tmp_path)
    assert found.exists()  # its writer lives
    writer.kill()
    writer.join()
    assert found.exists()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_leftovers_is_deleted(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("of somebody")
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    kept = ["mine.partial", "a.0123456.partial", "a.0123abcd.partial.txt", ".0123abcd.partial", "a"]
    for name in [*kept, "below/a.0123abcd.partial", "a.0123abcd.partial"]:
        (folder / name).write_text("half")
    os.mkfifo(folder / "pipe.0123abcd.partial")
    (folder / "link.0123abcd.partial").symlink_to(outside)
    (folder / "folder.0123abcd.partial").mkdir()
    before = set(tmp_path.rglob("*"))
    remove_leftovers(folder)
    assert before - set(tmp_path.rglob("*")) == {folder / "a.0123abcd.partial"}
    assert outside.read_text() == "of somebody"
    remove_leftovers(folder / "missing")
    remove_leftovers(folder / "a")


def test_writers_do_not_lose_their_file_to_one_that_tidies_up(tmp_path: Path) -> None:
    done = threading.Event()

    def tidy_up() -> None:
        while not done.is_set():
            remove_leftovers(tmp_path)

    tidying = [threading.Thread(target=tidy_up) for _ in range(2)]
    for thread in tidying:
        thread.start()
    try:
        for i in range(100):
            write_atomically(tmp_path / "a", str(i).encode())
            assert (tmp_path / "a").read_text() == str(i)
    finally:
        done.set()
        for thread in tidying:
            thread.join()
