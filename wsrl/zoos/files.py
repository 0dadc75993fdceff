"""Files that are there whole or not at all, and what tells whether they changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""Ends the names of files that are being written; one that stays is of a process that died."""


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is there whole or not at all, whenever the process or the machine dies.

    Several processes may write one path at once: the last to end wins.

    Args:
        path: the file; its folder must exist.

    Raises:
        OSError: naming the file, as where the disk is full; what was there before stays.
    """
    partial = _beside(path)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror or str(error), str(path)) from error
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file's whole content as ``written_atomically`` does."""
    with written_atomically(path) as file:
        file.write(content)


def create_atomically(path: Path, content: bytes) -> bool:
    """Write a file that is not there yet, whole or not at all; of several processes one succeeds.

    Args:
        path: the file; its folder must exist.
        content: all of it.

    Returns:
        Whether this call made the file; otherwise it is another's, and left as it is.

    Raises:
        OSError: naming the file, as where the disk is full.
    """
    partial = _beside(path)
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            # A network file system may repeat a request that it has already carried out.
            return partial.exists() and partial.stat().st_nlink > 1
        except FileNotFoundError:
            if path.exists():  # and whoever finished with it has tidied up
                return False
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, content)
        _sync_folder(path.parent)
        return True
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def _create_without_links(path: Path, content: bytes) -> bool:
    """Do the same where a file cannot have two names: readers may see it unfinished."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise
    return True


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")


def _sync_folder(folder: Path) -> None:
    """Have the new name survive the machine, where the file system can be asked to."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
