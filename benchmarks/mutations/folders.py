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
    *("keep.txt", "manifest.json", "config.yaml", "00000.json", "a.png", "best.ckpt"),
    *("00000.safetensors", "00001.safetensors", "last.ckpt", "test.json", "x.0123abcd.partial"),
)
"""Files outside, under names that commands would write or clear away."""

EXPECTED = (
    *("progress", "shards", "logs", "checkpoints", "leases", "cells", "config.yaml", "test.json"),
    *("00000.lease.1", "00001.lease.2", "fit.lock", "00000.json", "00001.json", "report.html"),
    *("m99.pt", "99999.safetensors", "00000.safetensors.0123abcd.partial", "test.0123abcd.partial"),
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
    kinds: dict[str, Callable[[], object]] = {
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


def linked_out(chance: Random, path: Path) -> str:
    """Put a link to what lies outside where commands write, delete or make folders and files.

    What is there is moved outside; or the link leads to other files of such names, or to nothing.
    The folder that a command names may be a link: only what is in it is changed.
    """
    folder, outside = _named(path), _outside(path)
    inner = sorted(place for place in folder.rglob("*") if not place.is_symlink())
    made = [folder / name for name in EXPECTED]
    place = chance.choice([path, *inner] if chance.random() < 0.5 and inner else made)
    if place == folder:
        place = chance.choice(made)
    if os.path.lexists(place) and chance.random() < 0.5:
        place.rename(outside / "moved")
        place.symlink_to(outside / "moved")
        return f"{place.relative_to(folder)} moved outside, and a link to it"
    to = outside
    if place.suffix:
        to = outside / chance.choice(("keep.txt", place.name, "new"))
    if os.path.lexists(place):
        _remove(place)
    place.symlink_to(to)
    return f"{place.relative_to(folder)}: a link to {to.relative_to(outside.parent)}"


def piped(chance: Random, path: Path) -> str:
    """Put a pipe, which never ends, where commands read."""
    folder = _named(path)
    places = [folder / name for name in EXPECTED if "." in name]
    for part in ("progress", "leases", "logs", "checkpoints"):
        places += [folder / part / name for name in EXPECTED if "." in name]
    place = chance.choice(places)
    place.parent.mkdir(exist_ok=True)
    if os.path.lexists(place):
        _remove(place)
    os.mkfifo(place)
    return f"{place.relative_to(folder)}: a pipe"


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
        "a folder": lambda: (place / "inner").mkdir(parents=True),
        "a hard link to a file outside": lambda: os.link(outside / "keep.txt", place),
    }
    name = chance.choice(list(kinds))
    kinds[name]()
    return f"beside it {name} called {place.name[:40]!a}"


def _outside(path: Path) -> Path:
    """Find the folder outside; inputs lie in a folder beside it."""
    return next(above / OUTSIDE for above in path.parents if (above / OUTSIDE).is_dir())


def _named(path: Path) -> Path:
    """Return the input that a path lies in: what a command names, or the folder of a file."""
    folder = _outside(path).parent / "work"
    named = folder / path.relative_to(folder).parts[0]
    return named if named.is_dir() else named.parent / "run"


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
