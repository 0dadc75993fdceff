"""A lock on a file, for work that only one process may do at a time."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

_POLL_SECONDS = 0.5
_LONGEST = 300  # bytes that are read of who holds a lock


@contextlib.contextmanager
def locked(path: Path, busy: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, and leave no file of it behind.

    The system releases the lock when the process ends, however it does. On NFS other machines see
    the lock where the mount has locks (not with ``nolock`` or ``local_lock``); that of a machine
    that died is free when the server has noticed, after about a minute and a half.

    Args:
        path: of the lock file; its folder must exist.
        busy: called every half second with who holds the lock, as ``process 12 on host``, while
            another does. It raises where the caller does not want to wait.

    Raises:
        OSError: naming the file, where it cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "folder.lock"
    >>> with locked(path, busy=print):
    ...     path.exists()
    True
    >>> path.exists()
    False
    """
    lock = FileLock(path, blocking=False)
    while not lock.is_locked:
        try:
            lock.acquire()
        except Timeout:
            busy(_holder(path))
            time.sleep(_POLL_SECONDS)
    try:
        _sign(path)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody else's is deleted
        lock.release()


def _sign(path: Path) -> None:
    """Write the holder into the file's first line; on a full disk it stays unnamed."""
    with contextlib.suppress(OSError), _opened(path, os.O_WRONLY) as file:
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _holder(path: Path) -> str:
    """Return who holds a lock, for a message."""
    found = b""
    with contextlib.suppress(OSError), _opened(path, os.O_RDONLY) as file:
        found = file.readline(_LONGEST).strip()  # below it, what is left of a longer name
    return found.decode(errors="replace") or "another process"


def _opened(path: Path, mode: int) -> BinaryIO:
    handle = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    return os.fdopen(handle, "wb" if mode == os.O_WRONLY else "rb")
