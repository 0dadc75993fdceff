"""Files that are written whole or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""Ends the names of files that are being written; one that stays is of a process that died.

A writer holds a lock (``flock``) on such a file until it is through. The system releases the lock
when the process dies, so a process that gets the lock may delete the file.
"""

_PARTIAL_NAME = re.compile(rf"(.+)\.[0-9a-f]{{8}}{re.escape(PARTIAL)}", re.DOTALL)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete the partial files, of ``name`` or of any file, that dead processes left in a folder.

    Files that are being written stay, and so does all that is not named as ``partial_file`` does.
    Nothing is deleted where the file system has no locks, or does not let this process write. Of
    writers on other machines the locks must be seen here, as they are on NFS.
    """
    with contextlib.suppress(OSError):  # there is no such folder, or it cannot be read
        for found in os.listdir(folder):
            partial = _PARTIAL_NAME.fullmatch(found)
            if partial and name in (None, partial[1]):
                with contextlib.suppress(OSError):  # in use, gone meanwhile, or not ours to delete
                    _remove_if_free(folder / found)


def _remove_if_free(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(handle)


@contextmanager
def partial_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file beside another one, locked while the body writes it and deleted afterwards.

    Yields its path and the open file; the body may rename it.
    """
    partial, file = _create_locked(path)
    try:
        with file:
            yield partial, file
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _create_locked(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        file = partial.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks: nothing is deleted there
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return partial, file
        file.close()  # deleted by ``remove_leftovers`` before it was locked


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is there whole or not at all, whenever the process or the machine dies.

    Several processes may write one path at once: the last to end wins.

    Raises:
        OSError: naming the file, as where the disk is full; what was there before stays.
    """
    try:
        with partial_file(path) as (partial, file):
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file's whole content as ``written_atomically`` does."""
    with written_atomically(path) as file:
        file.write(content)


def remove(path: Path) -> None:
    """Remove a file or a folder that may be there; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk, where the file system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
