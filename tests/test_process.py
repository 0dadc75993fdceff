"""What the command sets for its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import runs, until
from wsrl import _process

SHOW = "import os; from wsrl import _process; {0}; _process.tune_process(); "
SHOW += "print(os.environ.get('OMP_WAIT_POLICY'))"


def policy(busy: int, **environment: str) -> str:
    """Return the policy chosen by a new process that finds some cores busy."""
    known = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    set_up = f"_process.busy_cores = lambda: {busy}; os.cpu_count = lambda: 4"
    command = [sys.executable, "-c", SHOW.format(set_up)]
    done = subprocess.run(command, env=known | environment, capture_output=True, text=True)
    return done.stdout.strip()


def test_threads_sleep_only_where_cores_are_busy() -> None:
    assert policy(0) == "None"
    assert policy(1) == "PASSIVE"
    assert policy(2, OMP_NUM_THREADS="2") == "None"
    assert policy(3, OMP_NUM_THREADS="2") == "PASSIVE"
    assert policy(4, OMP_NUM_THREADS="1") == "None"  # there is nobody to wait for
    assert policy(4, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
    assert policy(4, GOMP_SPINCOUNT="1000") == "None"


def test_a_process_that_has_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # noqa: F401

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(_process, "busy_cores", lambda: 1000)
    _process.tune_process()
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.skipif(not _process.RUNNING.exists(), reason="no /proc here")
def test_other_running_threads_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for loop in loops:
            assert loop.stdout is not None
            loop.stdout.readline()  # from now on it runs
        assert _process.busy_cores() >= 1
    finally:
        for loop in loops:
            loop.kill()
            loop.communicate()
    monkeypatch.setattr(_process, "RUNNING", tmp_path / "nothing")
    assert _process.busy_cores() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
def test_a_training_process_dies_with_the_one_that_started_it() -> None:
    child = (
        "import os, signal; from wsrl import _process; _process.tune_process();"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True);"
        "[signal.pause() for _ in iter(int, 1)]"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    known = {name: value for name, value in os.environ.items() if name != "TORCHELASTIC_RUN_ID"}
    launcher = subprocess.Popen(
        [sys.executable, "-c", code],
        env=known | {"LOCAL_RANK": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    try:
        until(lambda: not runs(pid))
    finally:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)
