"""Changes of folders: links that lead out, pipes, other kinds of entries, leftovers."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

OUTSIDE = "outside"
"""The folder beside the one worked in, which nothing may change."""


PRECIOUS = (
    *("keep.txt", "manifest.json", "config.yaml", "00000.json", "00001.lease.1", "best.ckpt"),
    *("00000.safetensors", "00001.safetensors", "last.ckpt", "test.json", "x.0123abcd.partial"),
)
"""Files outside, under names that commands would write or clear away."""

EXPECTED = (
    *("progress", "shards", "logs", "checkpoints", "leases", "config.yaml", "cell.json", "m99.pt"),
    *("00000.lease.1", "00001.lease.2", "fit.lease.1", "00000.json", "00001.json", "test.json"),
    *("99999.safetensors", "00000.safetensors.0123abcd.partial", "test.json.0123abcd.partial"),
)
"""Names that commands look for, write or clear away."""

ODD = (
    *(
        ".DS_Store",
        "._manifest.json",
        "manifest.json.tmp",
        "events.out.tfevents.1",
        "my.py",
        "a.pt",
    ),
    *("b\udcff.pt", "\x1b[31mred.safetensors", "two\nlines.pt", "-h", "nan", "e" * 250),
)


def make_outside(folder: Path) -> None:
    """Make files under the names that commands would write or delete."""
    for part in ("", "shards", "progress", "checkpoints", "logs"):
        place = folder / OUTSIDE / part
        place.mkdir(parents=True, exist_ok=True)
        names = ("keep.txt", "manifest.json", "config.yaml", "00000.json", "00000.lease.1")
        for name in (
            *names,
            "00000.safetensors",
            "best.ckpt",
            "last.ckpt",
            "test.json",
            "a.partial",
        ):
            (place / name).write_text("precious\n")


def replaced(chance: Random, path: Path) -> str:
    """Put another kind of entry in the place of a file or a folder."""
    outside = _outside(path)
    kinds: dict[str, Callable[[], object]] = {
        "a link to a file outside": lambda: path.symlink_to(outside / "keep.txt"),
        "a link to a folder outside": lambda: path.symlink_to(outside),
        "a link to the like of it outside": lambda: path.symlink_to(outside / path.name),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to nothing": lambda: path.symlink_to("nothing"),
        "a link to the folder above": lambda: path.symlink_to(".."),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "a pipe": lambda: os.mkfifo(path),
        "a socket": lambda: _socket(path),
        "a folder": lambda: path.mkdir(),
        "an empty file": lambda: path.touch(),
        "gone": lambda: None,
    }
    name = chance.choice(list(kinds))
    _remove(path)
    kinds[name]()
    return name


def unreadable(chance: Random, path: Path) -> str:
    """Take rights away."""
    mode = chance.choice((0, 0o200, 0o400)) if path.is_file() else chance.choice((0, 0o500, 0o200))
    path.chmod(mode)
    return f"mode {mode:o}"


def more_entries(chance: Random, path: Path) -> str:
    """Put something beside an entry: leftovers, odd names, pipes, links that lead out."""
    folder = path if path.is_dir() else path.parent
    outside = _outside(path)
    names = EXPECTED if chance.random() < 0.7 else ODD
    place = folder / chance.choice(names)
    if os.path.lexists(place) and place.is_dir() and not place.is_symlink():
        place = place / chance.choice(names)
    if os.path.lexists(place):
        return "nothing"
    kinds: dict[str, Callable[[], object]] = {
        "a file": lambda: place.write_bytes(
            chance.choice((b"", b"{}", b"[]", b"\xff", b"x" * 999))
        ),
        "a pipe": lambda: os.mkfifo(place),
        "a folder": lambda: (place / "inner").mkdir(parents=True),
        "a link to a folder outside": lambda: place.symlink_to(outside),
        "a link to a file outside": lambda: place.symlink_to(outside / "keep.txt"),
        "a link to what is not there outside": lambda: place.symlink_to(outside / "new"),
        "a hard link to a file outside": lambda: os.link(outside / "keep.txt", place),
    }
    name = chance.choice(list(kinds))
    kinds[name]()
    return f"beside it {name} called {place.name[:40]!a}"


def _outside(path: Path) -> Path:
    """Find the folder outside; inputs lie in a folder beside it."""
    return next(above / OUTSIDE for above in path.parents if (above / OUTSIDE).is_dir())


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        handle = os.open(path.parent, os.O_RDONLY)  # a socket's path must be short
        try:
            one.bind(f"/proc/self/fd/{handle}/{path.name}")
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
