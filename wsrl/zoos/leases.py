"""Leases: which of several processes works on what, so that nothing is done twice.

A lease is a file. Its holder raises a counter in it every few seconds, so that it is known to live
on any machine that shares the disk; clocks are not compared. A lease whose holder died is succeeded
by another of the next generation, which only one process can create. Nothing is deleted, so that a
holder that was paused for long finds the higher generation and knows that it has lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from wsrl.safe_files import read_regular
from wsrl.validation import from_json
from wsrl.zoos.files import PARTIAL, create_atomically
from wsrl.zoos.holders import Holder

BEAT_SECONDS, PATIENCE_SECONDS = 5.0, 60.0
_LENGTH = 1024  # bytes of a lease: it is rewritten in place, which must never need more room
_NAME = re.compile(r"(.+)\.lease\.(\d+)")
_FILE = re.compile(_NAME.pattern + rf"(\.[0-9a-f]{{8}}{re.escape(PARTIAL)})?")


class LeaseLostError(RuntimeError):
    """The lease is another's by now, since this process did not show that it lives."""


@dataclass(frozen=True)
class Standing:
    """How the lease on something stands.

    Attributes:
        generation: of the latest lease; 0 where there was none.
        free: whether it may be taken.
        alive: whether somebody is known to hold it; of leases neither free nor alive it is not
            known yet.
        holder: who holds or held it; ``None`` where nobody did, or the file cannot be read.
        done: how far the holder had got when it last wrote.
    """

    generation: int = 0
    free: bool = True
    alive: bool = False
    holder: Holder | None = None
    done: int = 0


class Leases:
    """The leases of a folder.

    Args:
        folder: where they lie; it must exist before one is taken.
        me: the process that takes them; this one by default.
        beat_seconds: how often a holder shows that it lives.
        patience_seconds: for how long a lease must be seen unchanged before it is free.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        folder: Path,
        me: Holder | None = None,
        beat_seconds: float = BEAT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.me = folder, me or Holder.of_this_process()
        self._beat, self._patience, self._clock = beat_seconds, patience_seconds, clock
        self._seen: dict[Path, _Observation] = {}

    def survey(self, names: Iterable[str]) -> dict[str, Standing]:
        """Look how the leases on some things stand.

        Whether a holder elsewhere lives is learnt by looking again and again.
        """
        latest = self._latest()
        return {name: self._standing(name, latest.get(name, 0)) for name in names}

    def names(self) -> list[str]:
        """Return what has ever been leased."""
        return sorted(self._latest())

    def take(self, name: str, standing: Standing) -> Lease | None:
        """Take a lease that is free; ``None`` where another process was faster.

        Raises:
            OSError: naming the file, where nothing can be written.
        """
        path = self._path(name, standing.generation + 1)
        if not standing.free or not create_atomically(path, _content(self.me, 0, 0)):
            return None
        return Lease(path, self.me, self._beat)

    def _latest(self) -> dict[str, int]:
        """Return the latest generation by name."""
        latest: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for file in os.listdir(self.folder):
                if match := _NAME.fullmatch(file):
                    name, generation = match[1], int(match[2])
                    latest[name] = max(generation, latest.get(name, 0))
        return latest

    def _standing(self, name: str, generation: int) -> Standing:
        if generation == 0:
            return Standing()
        path = self._path(name, generation)
        try:
            content = read_regular(path, 4 * _LENGTH)
        except FileNotFoundError:  # somebody tidies up, since all is done; or a link to nothing
            return Standing(generation, free=path.is_symlink())
        except ValueError:  # a pipe, or a longer file: no lease
            return Standing(generation)
        holder, done, released = _parse(content)
        if released or (holder is not None and holder.has_died(self.me)):
            return Standing(generation, True, False, holder, done)
        observation = self._seen.setdefault(path, _Observation(content, self._clock()))
        observation.look(content, self._clock(), self._patience / 6)
        free = observation.unchanged >= self._patience
        here = holder is not None and holder.shares_processes_with(self.me)
        alive = not free and (observation.has_changed or here)
        return Standing(generation, free, alive, holder, done)

    def _path(self, name: str, generation: int) -> Path:
        return self.folder / f"{name}.lease.{generation}"


class Lease:
    """A lease that this process holds; a context in which it shows that it lives.

    Attributes:
        done: how far the holder has got, for others to read.
        lost: whether another has succeeded it, as far as is known.
    """

    def __init__(self, path: Path, me: Holder, beat_seconds: float) -> None:
        self.done, self.lost = 0, False
        self._path, self._me, self._seconds = path, me, beat_seconds
        self._count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"lease {path}", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        if not self.lost:
            with contextlib.suppress(OSError):
                self._write(released=True)

    def check(self) -> None:
        """Make sure, on the disk, that the lease is still held.

        Raises:
            LeaseLostError: where another has succeeded it.
        """
        stem, generation = str(self._path).rsplit(".", 1)
        # A listing, since network file systems may remember for long that a file was not there.
        names = _names(self._path.parent)
        if self._path.name not in names or Path(f"{stem}.{int(generation) + 1}").name in names:
            self.lost = True
        if self.lost:
            raise LeaseLostError(f"{self._path} was not renewed in time, and is another's by now")

    def remove(self) -> None:
        """Remove the lease's files and those of its predecessors; a successor's stay."""
        name, own = str(self._path.name).rsplit(".lease.", 1)
        for file in [] if self.lost else _names(self._path.parent):
            match = _FILE.fullmatch(file)
            if match and match[1] == name and (match[3] or int(match[2]) <= int(own)):
                with contextlib.suppress(OSError):
                    (self._path.parent / file).unlink()

    def _live(self) -> None:
        while not self._end.wait(self._seconds):
            try:
                self.check()
                self._write(released=False)
            except LeaseLostError:
                return
            except OSError:
                continue  # the disk may answer again in time

    def _write(self, released: bool) -> None:
        self._count += 1
        content = _content(self._me, self._count, self.done, released)
        # Opened anew each time: others on a network file system see what was closed.
        handle = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(handle, content)
        finally:
            os.close(handle)


@dataclass
class _Observation:
    """For how long a lease was seen unchanged by a process that kept looking."""

    content: bytes
    last: float
    unchanged: float = 0.0
    has_changed: bool = False

    def look(self, content: bytes, now: float, most: float) -> None:
        # The time between two looks counts up to a bound: both may have been paused together.
        same = content == self.content
        self.unchanged = self.unchanged + min(now - self.last, most) if same else 0.0
        self.has_changed |= not same
        self.content, self.last = content, now


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _content(holder: Holder, count: int, done: int, released: bool = False) -> bytes:
    plain = {"holder": asdict(holder), "count": count, "done": done, "released": released}
    return json.dumps(plain).encode().ljust(_LENGTH - 1) + b"\n"


def _parse(content: bytes) -> tuple[Holder | None, int, bool]:
    """Return holder, how far it got, and whether it released; an unreadable file has no holder."""
    try:
        plain = json.loads(content)
        return from_json(Holder, plain["holder"]), int(plain["done"]), plain["released"] is True
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, 0, False
