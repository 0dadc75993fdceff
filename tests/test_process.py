"""What the command sets for its own process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import runs, until
from wsrl import _process


@pytest.mark.parametrize(
    ("busy", "environment", "policy"),
    [
        (0, {}, None),
        (1, {}, "PASSIVE"),
        (2, {"OMP_NUM_THREADS": "2"}, None),
        (3, {"OMP_NUM_THREADS": "2"}, "PASSIVE"),
        (4, {"OMP_NUM_THREADS": "1"}, None),  # there is nobody to wait for
        (4, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        (4, {"GOMP_SPINCOUNT": "1000"}, None),
    ],
)
def test_threads_sleep_only_where_cores_are_busy(
    busy: int,
    environment: dict[str, str],
    policy: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"MALLOC_": "left alone", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_process, "busy_cores", lambda: busy)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    _process.tune_process()  # this process has torch, which has read its settings
    assert os.environ.get("OMP_WAIT_POLICY") == environment.get("OMP_WAIT_POLICY")
    monkeypatch.delitem(sys.modules, "torch")
    _process.tune_process()
    assert os.environ.get("OMP_WAIT_POLICY") == policy


def test_busy_cores_are_none_where_nobody_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, busy in (("0.1 0.2 0.3 4/250 99\n", 3), ("0.1 0.2 0.3 1/250 99\n", 0), ("", 0)):
        (tmp_path / "loadavg").write_text(text)
        monkeypatch.setattr(_process, "RUNNING", tmp_path / "loadavg")
        assert _process.busy_cores() == busy


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
