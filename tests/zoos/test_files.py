"""Files are whole or not there, whoever else writes them and whatever goes wrong."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from wsrl.zoos.files import (
    remove_leftovers,
    write_atomically,
)


def test_a_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"two")]


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


def partial_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.partial"))


@pytest.mark.parametrize("write", ["written_atomically(path)", "partial_file(path)"])
def test_only_what_a_dead_process_left_is_deleted(write: str, tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from wsrl.zoos.files import partial_file, written_atomically

        path = Path({str(tmp_path / "a")!r})
        with {write}:
            print("writing", flush=True)
            sys.stdin.read()
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"writing\n"
    found = partial_files(tmp_path)
    assert len(found) == 1
    remove_leftovers(tmp_path)
    assert partial_files(tmp_path) == found  # its writer lives
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    assert partial_files(tmp_path) == found
    remove_leftovers(tmp_path)
    assert partial_files(tmp_path) == []
    writer.stdin.close()
    writer.stdout.close()


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
        for i in range(300):
            write_atomically(tmp_path / "a", str(i).encode())
            assert (tmp_path / "a").read_text() == str(i)
    finally:
        done.set()
        for thread in tidying:
            thread.join()
