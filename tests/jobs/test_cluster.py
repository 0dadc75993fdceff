"""Jobs on a Dask cluster: the same as anywhere, whatever dies; and who is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.test_jobs import die_once, fail, note
from tests.waiting import until
from wsrl.cli import main
from wsrl.jobs import EngineError, Job, ProcessDiedError, locked, open_engine, run_jobs
from wsrl.zoos import open_zoo

distributed = pytest.importorskip("distributed", reason="the extra wsrl[cluster] is not here")

LOCAL = "class_path: distributed.LocalCluster\ninit_args: {n_workers: 0, threads_per_worker: 1}\n"
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10"}


def save_when_told(path: Path) -> str:
    """Work until told, and save; begun again, go on from what was saved."""
    if path.exists() and "saved" in path.read_text():
        return note(path, f"went on in {os.getpid()}")

    def told(*_: object) -> None:
        time.sleep(1.0)  # saving takes a while, and who begins the job again must wait
        note(path, "saved")
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, told)
    note(path, f"begun in {os.getpid()}")
    while True:
        signal.pause()


def where(path: Path) -> str:
    return note(path, os.environ.get("CUDA_VISIBLE_DEVICES", "none"))


class Processes:
    """A scheduler and workers as users start them, with one key for all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self._running: list[subprocess.Popen[bytes]] = []
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        words = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=wsrl -keyout {key}"
        command = ["openssl", *words.split(), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        self.keys = {f"{tls}CA_FILE": str(certificate)}
        for who in ("CLIENT", "WORKER", "SCHEDULER"):
            self.keys |= {f"{tls}{who}__CERT": str(certificate), f"{tls}{who}__KEY": str(key)}

    def start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``dask scheduler`` or ``dask worker``."""
        found = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--dashboard-address", "127.0.0.1:0"],
            env=os.environ | self.keys | {"DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls"} | more,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._running.append(found)
        return found

    def start_scheduler(self) -> str:
        """Start the scheduler; return its address."""
        place = ["--host", "tls://127.0.0.1", "--port", "0", "--scheduler-file", str(self.file)]
        self.start("scheduler", *place, **SETTINGS)
        until(self.file.is_file)
        until(lambda: self.file.read_text().endswith("}"))
        import json

        return str(json.loads(self.file.read_text())["address"])

    def start_worker(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker of one job at a time."""
        file = ["--scheduler-file", str(self.file)]
        return self.start("worker", *file, "--nthreads", "1", *words, **more)

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    import dask

    folder = tmp_path / "cluster"
    folder.mkdir()
    found = Processes(folder)
    with dask.config.set(dask.config.collect(paths=[], env=found.keys)):
        yield found
    found.end()
