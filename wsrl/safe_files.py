"""What a file or a folder from anybody may do: be read where it is a regular file, no more."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
"""Bits of a file's mode; the group's covers access lists, too."""


def read_regular(path: Path, most: int) -> bytes:
    """Read a whole regular file, or a link to one, of at most so many bytes.

    A larger one, or a pipe or a device, which may never end, is a ``ValueError``, unread.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe opens at once
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("no regular file")
        if found.st_size > most:
            raise ValueError(f"it has {found.st_size} bytes, more than {most} bytes")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(found.st_size + 1)  # which takes so much memory at once
    finally:
        os.close(handle)
    if len(content) > found.st_size:
        raise ValueError("it grew while it was read")
    return content


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors of the operating system in the body name a file; those of a write name none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error


def check_inside(folder: Path, *names: str) -> None:
    """Refuse, by a ``ValueError``, paths in a folder (they need not exist) that lead out of it.

    The folder may itself be reached by links.
    """
    home = Path(os.path.realpath(folder))
    for name in names:
        for part in reversed([Path(name), *Path(name).parents]):
            place = Path(os.path.realpath(folder / part))  # Path.resolve fails on links in a circle
            if (folder / part).is_symlink() and not place.is_relative_to(home):
                raise ValueError(
                    f"{folder / part} is a link that leads out of {folder}: nothing is written or "
                    "deleted there"
                )


def who_else_writes(path: Path) -> str | None:
    """Say why a file is not only its user's: somebody else could change it, or put another there.

    The file, its folder and all folders above must belong to the user or to root, and nobody else
    may write them. Above the file's folder, one like ``/tmp`` will do: what lies in it can be
    replaced by its owner alone (the sticky bit). The path, of a file or of a folder for files to
    come, must have no links in it (``Path.resolve``): they could lead elsewhere a moment later.
    """
    folder, shared = path if path.is_dir() else path.parent, []
    for place in (path, *path.parents):
        found = place.lstat()
        if found.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user (number {found.st_uid})"
        sticky = found.st_mode & stat.S_ISVTX and place not in (path, folder)
        if found.st_mode & OTHERS_WRITE and not sticky:
            shared.append(str(place))
    return f"others can write {', '.join(shared)}" if shared else None
