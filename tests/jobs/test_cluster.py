"""Jobs on a Dask cluster: the same as anywhere, whatever dies; and who is refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.jobs.test_jobs import die_once, fail, note
from tests.waiting import until
from wsrl.cli import main
from wsrl.jobs import EngineError, Job, locked, open_engine, run_jobs
from wsrl.studies.benchmark.settings import CONFIGS
from wsrl.zoos import open_zoo

dask = pytest.importorskip("dask", reason="the extra wsrl[cluster] is not here")
cluster = pytest.importorskip("wsrl.jobs.cluster", reason="the extra wsrl[cluster] is not here")
worker_side = pytest.importorskip("wsrl.jobs.worker")

LOCAL = "class_path: distributed.LocalCluster\ninit_args: {n_workers: 0, threads_per_worker: 1}\n"
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10"}
NANNY = {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}


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
    return note(path, f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {torch.get_num_threads()}")


class Processes:
    """A scheduler and workers as users start them, with one key for all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self._running: list[subprocess.Popen[bytes]] = []
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        words = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=wsrl -keyout {key}"
        command = ["openssl", *words.split(), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        tls = "distributed.comm.tls."
        self.config = {f"{tls}ca-file": str(certificate)}
        for who in ("client", "worker", "scheduler"):
            self.config |= {f"{tls}{who}.cert": str(certificate), f"{tls}{who}.key": str(key)}
        self.keys = {
            "DASK_" + name.upper().replace(".", "__").replace("-", "_"): value
            for name, value in self.config.items()
        }

    def start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``dask scheduler`` or ``dask worker``."""
        found = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--dashboard-address", "127.0.0.1:0"],
            env=os.environ | self.keys | {"DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls"} | more,
            cwd=self.folder,
            stdout=(self.folder / f"{words[0]}{len(self._running)}.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self._running.append(found)
        return found

    def start_scheduler(self) -> str:
        """Start the scheduler; return its address."""
        place = ["--host", "tls://127.0.0.1", "--port", "0", "--scheduler-file", str(self.file)]
        self.scheduler = self.start("scheduler", *place, **SETTINGS)
        until(self.file.is_file)
        until(lambda: self.file.read_text().endswith("}"))
        return str(json.loads(self.file.read_text())["address"])

    def start_worker(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker of one job at a time."""
        file = ["--scheduler-file", str(self.file)]
        return self.start("worker", *file, "--nthreads", "1", *words, **more)

    def end(self) -> None:
        for process in reversed(self._running):  # a worker looks for its scheduler for a while
            process.terminate()
            process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    found = Processes(folder)
    try:
        with dask.config.set(found.config):
            yield found
    finally:
        found.end()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Path]:
    with locked(tmp_path / "a.lock", fail):
        yield tmp_path / "a.lock"


def test_jobs_run_on_a_cluster_as_anywhere(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text(LOCAL)
    log = tmp_path / "log"
    jobs = [
        Job("last", note, (log, "last"), ("first",)),
        Job("bad", fail, ("no such thing",)),
        Job("left out", note, (log, "never"), ("bad",)),
        Job("first", note, (log, "first"), done=tmp_path / "done"),
        Job("once", die_once, (tmp_path / "once",)),
        Job("done", note, (log, "never"), done=lock),
    ]
    with open_engine(2, str(tmp_path / "local.yaml"), lock) as engine:
        failed = run_jobs(jobs, engine)
        assert engine.workers == 2
        with pytest.raises(EngineError, match="cannot be sent"):
            engine.submit(Job("locked", note, (threading.Lock(),)))
    assert log.read_text().split() == ["first", "last"]
    assert (tmp_path / "once").read_text().split() == ["begun", "begun"]
    reasons = {name: str(error) for name, error in failed.items()}
    assert reasons == {"bad": "no such thing", "left out": "left out, since bad failed"}
    assert not list(tmp_path.glob("done*"))  # its lock went with it


@pytest.mark.parametrize("nanny", ["--nanny", "--no-nanny"])
def test_a_worker_that_is_told_to_end_saves_before_others_go_on(
    nanny: str, processes: Processes, lock: Path, tmp_path: Path
) -> None:
    processes.start_scheduler()
    worker = processes.start_worker(nanny, CUDA_VISIBLE_DEVICES="5", OMP_NUM_THREADS="3", **NANNY)
    log = tmp_path / "log"
    begun = False

    def end_the_worker() -> None:
        nonlocal begun
        if not begun and log.exists() and "begun" in log.read_text():
            begun = True
            processes.start_worker(nanny, **NANNY)
            worker.terminate()
            if nanny == "--no-nanny":  # SLURM ends all other processes with this one
                worker.wait()
                assert "saved" in log.read_text()

    with open_engine(1, str(processes.file), lock) as engine:
        run_jobs([Job("where", where, (tmp_path / "where",))], engine)
        jobs = [Job("long", save_when_told, (log,), done=tmp_path / "done")]
        assert not run_jobs(jobs, engine, stop=end_the_worker, tries=1)
    assert (tmp_path / "where").read_text() == "5 3\n"  # its GPU and threads, by its environment
    (_, _, first), saved, (_, _, _, second) = map(str.split, log.read_text().splitlines())
    assert saved == ["saved"]
    assert first != second


def test_a_zoo_is_the_same_whoever_is_killed(processes: Processes, tmp_path: Path) -> None:
    build = "zoo build --problem formal_languages --runs 6 --snapshots [0,150] --group_size 1"
    build += " --length 12 --evaluated_strings 20 --stored_strings 4 --hidden_size 4"
    build += " --checkpoint_seconds 0 --quiet true --out"
    assert main([*build.split(), str(tmp_path / "whole")]) == 0
    processes.start_scheduler()
    workers = [processes.start_worker("--no-nanny") for _ in range(2)]
    words = [*build.split(), str(tmp_path / "zoo"), "--cluster", str(processes.file)]
    progress = tmp_path / "zoo" / "progress"

    def begin() -> subprocess.Popen[bytes]:
        states = len(list(progress.glob("*")))
        command = [sys.executable, "-m", "wsrl.cli", *words]
        found = subprocess.Popen(command, env=os.environ | processes.keys)
        until(lambda: found.poll() is not None or len(list(progress.glob("*"))) > states)
        return found

    driver = begin()
    workers[0].kill()
    processes.start_worker("--no-nanny")
    driver.kill()
    driver.wait()
    again = begin()
    workers[1].kill()
    assert again.wait() == 0
    files = sorted(path.name for path in (tmp_path / "whole/shards").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "zoo/shards").iterdir())
    for name in files:
        assert (tmp_path / "zoo/shards" / name).read_bytes() == (
            tmp_path / "whole/shards" / name
        ).read_bytes()
    assert open_zoo(tmp_path / "zoo").manifest == open_zoo(tmp_path / "whole").manifest


def test_who_cannot_do_the_work_is_refused(
    processes: Processes, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = processes.start_scheduler()
    nannied = processes.start_worker("--nanny")
    with pytest.raises(EngineError, match="--no-nanny"), open_engine(1, address, lock):
        pass
    nannied.terminate()
    nannied.wait()
    processes.start_worker("--no-nanny")
    found = worker_side.versions()
    with monkeypatch.context() as patch:
        patch.setattr(worker_side, "versions", lambda: found | {"torch": "1.0"})
        message = f"has torch {found['torch']} where this command has 1.0"
        with pytest.raises(EngineError, match=message), open_engine(1, address, lock):
            pass
    elsewhere = worker_side.JobProcesses("a", lock, b"process 1 on another host", [])
    monkeypatch.setattr(worker_side, "_DISK_SECONDS", 0)
    assert f"does not see {lock}: is the disk shared?" in elsewhere._find_problem()
    elsewhere._folder = tmp_path / "nowhere"
    assert "has no folder" in elsewhere._find_problem()
    with open_engine(1, address, lock) as engine:
        assert not run_jobs([Job("fine", note, (tmp_path / "log", "fine"))], engine)


def test_slurm_gets_workers_that_can_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module in [name for name in sys.modules if name.startswith("dask_jobqueue")]:
        monkeypatch.delitem(sys.modules, module)
    interrupted = signal.getsignal(signal.SIGINT)
    file = str(CONFIGS / "cluster" / "slurm.yaml")
    with cluster._start(file, cluster._asked(file)) as found:
        assert signal.getsignal(signal.SIGINT) is interrupted
        script = found.job_script()
        assert found.scheduler_address.startswith("tls://")
    assert "#SBATCH --signal=B:TERM@120" in script
    assert f"\nexec {sys.executable} -m distributed.cli.dask_worker tls://" in script
    assert "--nthreads 1 " in script
    assert "--no-nanny" in script
    assert "--tls-key .wsrl-cluster/" in script
    assert Path(".wsrl-cluster").stat().st_mode & 0o077 == 0  # nobody else reads the keys


def test_a_scheduler_that_takes_no_workers_is_an_error(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    submit = tmp_path / "bin" / "sbatch"
    submit.parent.mkdir()
    submit.write_text("#!/bin/sh\necho 'sbatch: error: no such partition' >&2\nexit 1\n")
    submit.chmod(0o755)
    monkeypatch.setenv("PATH", f"{submit.parent}:{os.environ['PATH']}")
    file = str(CONFIGS / "cluster" / "slurm.yaml")
    with pytest.raises(EngineError, match="error: no such partition"), open_engine(2, file, lock):
        pass


def test_a_worker_keeps_no_signal_handlers_of_commands_that_ended(lock: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    worker = SimpleNamespace(name="w", state=SimpleNamespace(nthreads=1), log_event=print)
    plugin = worker_side.JobProcesses("a", lock, lock.read_bytes(), [])
    plugin.setup(worker)
    assert signal.getsignal(signal.SIGTERM) == plugin._end
    asyncio.run(plugin.teardown(worker))
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("tcp://127.0.0.1:1", "127.0.0.1:1"),
        ("tcp://10.0.0.1:8786", "it uses no TLS"),
        ("tls://10.0.0.1:8786", "no keys are named here"),
        ("nowhere.json", "is no address (as tls://host:8786) and no file"),
        ("empty.yaml", "neither which cluster to start"),
        ("wrong.yaml", "is no subclass of distributed.deploy.Cluster"),
        ("unknown.yaml", "No module named 'nothing'"),
    ],
)
def test_a_cluster_that_is_none(
    where: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    Path("empty.yaml").write_text("a: 1\n")
    Path("wrong.yaml").write_text("class_path: pathlib.Path\n")
    Path("unknown.yaml").write_text("class_path: nothing.Cluster\n")
    words = "zoo build --problem formal_languages --runs 2 --snapshots [0] --out zoo --cluster"
    assert main([*words.split(), where]) == 1
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1]
    assert said[-1].startswith("wsrl zoo build: error:")


def test_without_dask_a_cluster_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "wsrl.jobs.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = r"pip install 'wsrl\[cluster\]'"
    engine = open_engine(1, "tls://host:8786", tmp_path / "a.lock")
    with pytest.raises(EngineError, match=message), engine:
        pass


def test_a_scheduler_that_goes_ends_the_command_with_one_line(
    processes: Processes, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 5)  # so long it looks for it
    processes.start_scheduler()
    processes.start_worker("--no-nanny")
    log = tmp_path / "log"

    def end_the_scheduler() -> None:
        if log.exists():
            processes.scheduler.kill()

    jobs = [Job("long", save_when_told, (log,))]
    cluster_engine = open_engine(1, str(processes.file), lock)
    with cluster_engine as engine, pytest.raises(EngineError, match="has gone"):
        run_jobs(jobs, engine, stop=end_the_scheduler)
