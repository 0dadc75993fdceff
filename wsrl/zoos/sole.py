"""One command at a time where two would mix what they write: an export, a copy, a training run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wsrl.zoos.leases import Lease, LeaseLostError, Leases, Standing

_POLL_SECONDS = 0.5


@contextmanager
def sole(folder: Path, name: str, busy: Callable[[Standing], None]) -> Iterator[Lease]:
    """Hold a lease, and leave no file of it behind.

    A lease does not outlive its process: what a killed one held is free at once, on other machines
    after a minute.

    Args:
        folder: where its file lies; it must exist.
        name: of what is held.
        busy: called every half second with how the lease stands while it is not free; may raise.

    Raises:
        OSError: naming the file, where nothing can be written.
    """
    leases = Leases(folder)
    while (lease := _take(leases, name, busy)) is None:
        time.sleep(_POLL_SECONDS)
    try:
        with lease:
            yield lease
    finally:
        lease.remove()


def _take(leases: Leases, name: str, busy: Callable[[Standing], None]) -> Lease | None:
    standing = leases.survey([name])[name]
    if not standing.free:
        busy(standing)
        return None
    try:
        lease = leases.take(name, standing)
        if lease is not None:
            lease.check()
        return lease
    except LeaseLostError:
        return None  # another took the one after it at the same time
    except FileNotFoundError:
        if not leases.folder.is_dir():
            raise
        return None  # the holder before tidied up at the same time
