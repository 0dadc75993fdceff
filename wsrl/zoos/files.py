"""Files that are written whole or not at all, and their checksums."""

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
"""Ends the names of files that are being written. A writer holds a lock (``flock``) until it is
through or dies, so a process that gets the lock may delete the file."""

_PARTIAL_NAME = re.compile(rf"(.+)\.[0-9a-f]{{8}}{re.escape(PARTIAL)}", re.DOTALL)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete the partial files, of ``name`` or of any file, that dead processes left in a folder.

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
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        with partial.open("xb") as file:
            with contextlib.suppress(OSError):  # without locks nothing is deleted
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # deleted by ``remove_leftovers`` before it was locked
            try:
                yield partial, file
            finally:
                with contextlib.suppress(OSError):
                    partial.unlink()
            return


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is there whole or not at all, whenever the process or the machine dies.

    Of several processes that write one path at once the last to end wins. An ``OSError``, as where
    the disk is full, names the file, and what was there before stays.
    """
    try:
        with partial_file(path) as (partial, file):
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        with contextlib.suppress(OSError):  # where the file system allows it, flush the name, too
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
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
