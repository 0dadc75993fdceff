"""Jobs: order, failures, retries, ends; the same on every engine. Locks of files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from wsrl.jobs import Engine, Here, Job, LocalPool, ProcessDiedError, locked, run_jobs
from wsrl.jobs.progress import JobProgress
from wsrl.jobs.run import ProcessToldError


def note(path: Path, text: str) -> str:
    with path.open("a") as file:
        file.write(f"{text}\n")
    return text


def fail(text: str) -> None:
    raise ValueError(text)


def die_once(path: Path) -> str:
    note(path, "begun")
    if path.read_text().count("begun") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(path: Path) -> None:
    note(path, "begun")
    os.kill(os.getpid(), signal.SIGKILL)


def wait_to_be_told(path: Path) -> None:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    note(path, str(os.getpid()))
    told.wait()
    note(path, "saved")
    raise SystemExit(143)


@pytest.fixture(params=["here", "pool"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "here":
        yield Here()
        return
    with LocalPool(2) as pool:
        yield pool


def test_a_job_runs_after_those_it_needs_and_others_go_on_when_one_fails(
    engine: Engine, tmp_path: Path
) -> None:
    path, ended = tmp_path / "log", {}
    jobs = [
        Job("last", note, (path, "last"), ("first",)),
        Job("left out", note, (path, "never"), ("bad",)),
        Job("bad", fail, ("no such thing",)),
        Job("first", note, (path, "first")),
        Job("left out too", note, (path, "never"), ("left out",)),
    ]
    failed = run_jobs(jobs, engine, ended=lambda *how: ended.update({how[0]: how[1]}))
    assert path.read_text().split() == ["first", "last"]
    assert {name: str(error) for name, error in failed.items()} == {
        "bad": "no such thing",
        "left out": "left out, since bad failed",
        "left out too": "left out, since left out failed",
    }
    assert ended["last"] == "last"
    assert ended["bad"] is None


def test_names_are_unique_and_needs_go_in_no_circle() -> None:
    with pytest.raises(ValueError, match="two jobs are named a"):
        run_jobs([Job("a", int), Job("a", int)], Here())
    jobs = [Job("first", int), Job("a", int, needs=("b",)), Job("b", int, needs=("a",))]
    with pytest.raises(ValueError, match="in a circle: a, b"):
        run_jobs(jobs, Here())


def test_nothing_begins_in_a_pool_that_is_shut_down(tmp_path: Path) -> None:
    with LocalPool(1) as pool:
        pass
    with pytest.raises(ProcessDiedError, match="shut down"):
        pool._run(note, (tmp_path / "log", "never"), {})
    assert not (tmp_path / "log").exists()


def test_a_job_whose_process_died_is_begun_again_but_not_for_ever(tmp_path: Path) -> None:
    jobs = [Job("once", die_once, (tmp_path / "once",)), Job("always", die, (tmp_path / "all",))]
    with LocalPool(1) as pool:
        failed = run_jobs(jobs, pool, tries=2)
    assert list(failed) == ["always"]
    assert "SIGKILL (out of memory?)" in str(failed["always"])
    assert (tmp_path / "all").read_text().count("begun") == 2


def test_jobs_save_their_work_when_the_command_is_told_to_end(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def stop() -> None:
        if path.exists() and path.read_text():
            os.kill(int(path.read_text()), signal.SIGINT)  # as a terminal does: of no account
            raise SystemExit(143)

    with pytest.raises(SystemExit), LocalPool(1) as pool:
        run_jobs([Job("long", wait_to_be_told, (path,))], pool, stop)
    assert path.read_text().split()[-1] == "saved"


class Slow:
    """What takes a while to arrive in another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return arrive, (self.path,)


def arrive(path: Path) -> None:
    path.mkdir()
    until((path / "go").exists)


def test_a_job_that_is_told_while_its_process_is_made_never_begins(tmp_path: Path) -> None:
    pool = LocalPool(1)
    future = pool.submit(note, tmp_path / "log", Slow(tmp_path / "arriving"))
    until((tmp_path / "arriving").is_dir)
    ending = threading.Thread(target=pool.shutdown)
    ending.start()
    until(lambda: pool._closed)
    with pool._starting:  # the process is told
        (tmp_path / "arriving" / "go").touch()
    ending.join()
    assert isinstance(future.exception(), ProcessToldError)
    assert not (tmp_path / "log").exists()


def test_the_time_left_is_of_what_was_done_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("wsrl.jobs.progress.time.monotonic", lambda: now)
    jobs = {f"{kind} {i}": (kind, 1.0) for kind in ("a", "b") for i in range(10)}
    shown = JobProgress(jobs, [f"a {i}" for i in range(8)], quiet=True)
    assert [task.fields["said"] for task in shown._bars.tasks] == ["8/10, 80%", "0/10, 0%"]
    now = 100.0
    shown._hear(("a 8", 0.5))
    now = 110.0
    shown.end("a 8")
    assert shown._bars.tasks[0].fields["said"] == "9/10, 90%, 0:00:20 left"


HOLD = """
import sys
from pathlib import Path
from wsrl.jobs import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_one_process_s_and_free_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **pipes)  # type: ignore[call-overload]
    assert holder.stdout.readline() == b"held\n"

    def busy(who: str) -> None:
        raise ValueError(who)

    with pytest.raises(ValueError, match=f"process {holder.pid} on "), locked(path, busy):
        pass
    holder.kill()
    holder.wait()
    path.write_text("process 123456789 on a host with a long name\n")  # it died
    with locked(path, busy):
        me = f"^process {os.getpid()} on {socket.gethostname()}$"
        with pytest.raises(ValueError, match=me), locked(path, busy):
            pass
    assert not path.exists()


def test_a_lock_waits_where_the_caller_does(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    seen, got = threading.Event(), threading.Event()

    def wait() -> None:
        with locked(path, lambda who: seen.set()):
            got.set()

    with locked(path, fail):
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(seen.is_set)
        assert not got.is_set()
    waiting.join()
    assert got.is_set()


def test_a_lock_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"a\.lock"), locked(tmp_path / "a.lock", fail):
        pass
    assert (tmp_path / "victim").read_text() == "mine"
