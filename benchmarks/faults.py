"""Kill zoo builds, benchmark grids and training runs at random moments, and compare what they make.

    python benchmarks/faults.py [--faults 20] [--seed 0] [--out DIR]

Zoo builds and grids run on two processes of the local pool (``--workers 2``), and on two workers of
a Dask cluster (``--cluster``) that this script starts, with TLS, on this machine. What is killed is
a worker (in the pool the process of a running job, of the cluster a Dask worker, which is
replaced), or the command itself, at a random moment between the first step and the end, a third of
the times while a job is writing a file. A command whose worker died must end well by itself; one
that died is run again until it does. Jobs are killed once each: those that die again and again are
given up. A zoo must then verify and be, byte for byte, the one that was never interrupted; every
training run, those of a grid too, must have logged the same values at the same steps, and end with
the same weights and metrics.

``--jobs fit`` does so to a pre-training on one process and on two, and ``--signals SIGTERM`` tells
processes to end.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wsrl.studies.benchmark.results import RESULT, TRIALS, read_results
from wsrl.zoos import verify_zoo
from wsrl.zoos.files import PARTIAL, checksum

LANGUAGES = (
    "--problem formal_languages --num_tokens 3 --length 12 --max_n 3 --min_difference -1 "
    "--max_difference 1 --evaluated_strings 200 --stored_strings 8 --hidden_size 8"
)
BUILD = f"zoo build {LANGUAGES} --runs 32 --group_size 4 --snapshots [0,200,400,600] --device cpu"
SAVING = "--checkpoint_seconds 0.2"
FIT = (
    "fit --model EmulationModule --model.encoder NoninteractiveProbing "
    "--model.encoder.probe_width 16 --model.encoder.reader_width 16 --model.emulator_width 16 "
    "--model.emulator_layers 1 --model.clone_rnns 4 --model.clone_sequences 4 "
    "--model.figures false --data.batch_size 16 --data.steps_per_epoch 40 --trainer.max_steps 240 "
    "--trainer.log_every_n_steps 1 --trainer.accelerator cpu --ckpt_path auto "
    "--checkpoint_minutes 0.01"
)
QUICK = {
    "trainer.max_steps": 60,
    "trainer.log_every_n_steps": 1,
    "data.steps_per_epoch": 20,
    "data.batch_size": 8,
    "checkpoint_minutes": 0.005,
}
GRID = {
    "seeds": [0, 1, 2, 3],
    "encoders": ["LayerwiseStatistics"],
    "compare_with": "LayerwiseStatistics",
    "emulation": {
        "config": "emulation_small.yaml",
        "options": QUICK | {"model.figures": False, "model.clone_rnns": 2},
    },
    "prediction": {"config": "prediction.yaml", "options": QUICK | {"model.warmup_steps": 0}},
    "properties": [],
}
ENGINES = {
    "zoo build": ("pool", "Dask"),
    "grid": ("pool", "Dask"),
    "fit": ("1 process", "2 processes"),
}
TRACES = {
    "zoo build": ("progress/*.lock", "progress/*.safetensors"),
    "grid": (f"{TRIALS}/*/*/*/*/{RESULT}.lock", f"{TRIALS}/*/*/*/*/logs/events*"),
    "fit": ("fit.lock", "logs/events*"),
}
"""The locks of jobs that run, and the files in which steps can be seen."""
PATIENCE = 240.0
"""Seconds after which a process that has not ended is a failure."""
MANY = 5
"""Problems of one kind after which it is given up."""


class Cluster:
    """A Dask scheduler with TLS, and two workers that are replaced when they die.

    Each has a session of its own, with all the processes that it starts.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.file = folder, folder / "scheduler.json"
        key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
        words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=wsrl -keyout"
        command = ["openssl", *words.split(), key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)
        self.environment = {
            f"DASK_DISTRIBUTED__COMM__TLS__{who}__{what}": path
            for who in ("CLIENT", "WORKER", "SCHEDULER")
            for what, path in (("KEY", key), ("CERT", certificate))
        }
        self.environment["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"] = certificate
        place = "--host tls://127.0.0.1 --port 0 --scheduler-file"
        self._scheduler = self._start("scheduler", *place.split(), str(self.file))
        while not self.file.exists():
            time.sleep(0.1)
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        for _ in range(2):
            self.add_worker()

    def add_worker(self) -> None:
        place = "--no-nanny --nthreads 1 --host tls://127.0.0.1 --scheduler-file"
        worker = self._start("worker", *place.split(), str(self.file))
        self.workers[worker.pid] = worker

    def replace(self, pid: int) -> None:
        """Start another worker for one that was told to end."""
        del self.workers[pid]
        self.add_worker()

    def close(self) -> None:
        for process in (*self.workers.values(), self._scheduler):
            process.terminate()
            process.wait()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--dashboard-address", "127.0.0.1:0"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | self.environment | {"OMP_NUM_THREADS": "1"},
            )


@dataclass
class Job:
    """A command that can be run again and again until its work is done."""

    kind: str
    engine: str
    scratch: Path
    cluster: Cluster | None = None

    def command(self, folder: Path) -> list[str]:
        zoo = str(self.scratch / "zoo")
        if self.kind == "fit":
            devices = ["1"] if self.engine.startswith("1") else ["2", "--trainer.strategy", "ddp"]
            words = [*FIT.split(), "--data.zoo", zoo, "--run", str(folder)]
            return [*words, "--trainer.devices", *devices]
        place = (
            ["--workers", "2"] if self.cluster is None else ["--cluster", str(self.cluster.file)]
        )
        if self.kind == "zoo build":
            return [*BUILD.split(), *SAVING.split(), "--out", str(folder), *place]
        grid = self.scratch / "grid.yaml"
        grid.write_text(yaml.safe_dump(GRID | {"zoos": {"z": {"path": zoo, "target": "task"}}}))
        return ["benchmark", "--config", str(grid), "--out", str(folder), *place]

    def result(self, folder: Path) -> dict[str, object]:
        """Read everything that must not depend on interruptions, by name."""
        if self.kind == "zoo build":
            verify_zoo(folder)
            return {file.name: checksum(file) for file in (folder / "shards").iterdir()}
        if self.kind == "fit":
            return read_run(folder)
        found: dict[str, object] = {}
        for result in read_results(folder):
            name = result.trial.name
            values = read_run(folder / TRIALS / name) | {
                f"curve {n}": v for n, v in result.curves.items()
            }
            values |= {metric: str(value) for metric, value in result.metrics.items()}
            found |= {f"{name} {key}": v for key, v in values.items()} | {name: result.error}
        return found


def read_run(folder: Path) -> dict[str, Any]:
    """Return the logged values and the last weights of a training run."""
    accumulator = EventAccumulator(str(folder / "logs"), size_guidance={"scalars": 0}).Reload()
    values: dict[str, Any] = {
        f"{tag} {index}": (event.step, str(event.value))
        for tag in accumulator.Tags()["scalars"]
        for index, event in enumerate(accumulator.Scalars(tag))
    }
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return values | {name: value.tolist() for name, value in checkpoint["state_dict"].items()}


class Running:
    """A command with all its processes."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.log = folder.with_name(folder.name + ".log")
        self.started = time.time()
        keys = {} if job.cluster is None else job.cluster.environment
        with self.log.open("a") as log:
            self.main = subprocess.Popen(
                [sys.executable, "-m", "wsrl.cli", *job.command(folder)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | keys | {"OMP_NUM_THREADS": "1"},
            )

    def jobs(self) -> dict[int, Path]:
        """Return the processes that run jobs now, each with the lock of its job."""
        if self.job.kind == "fit":
            return dict.fromkeys(in_session(self.main.pid), self.folder)
        cluster, found = self.job.cluster, {}
        for lock in self.folder.glob(TRACES[self.job.kind][0]):
            with contextlib.suppress(OSError, IndexError, ValueError):  # ended, or not yet written
                pid = int(lock.read_text().split()[1])
                if os.getsid(pid) in ([self.main.pid] if cluster is None else cluster.workers):
                    found[pid] = lock
        return found

    def wait_until_begun(self) -> bool:
        """Wait until this command's jobs make steps; return False where it ended before."""
        locks, steps = TRACES[self.job.kind]
        limit = time.monotonic() + PATIENCE
        while self.main.poll() is None and time.monotonic() < limit:
            begun = min(
                (t for t in map(changed, self.folder.glob(locks)) if t > self.started), default=None
            )
            if begun is not None and any(changed(p) > begun for p in self.folder.glob(steps)):
                return True
            time.sleep(0.01)
        return False

    def strike(
        self, fault: "Fault", chance: random.Random, seconds: float, inside: bool
    ) -> bool | None:
        """Send a signal to a worker or to the command, and to all it started by chance.

        Args:
            fault: the signal, to whom, and the jobs that have had theirs.
            chance: chooses.
            seconds: how long to wait for a job that writes a file.
            inside: wait for one.

        Returns:
            Whether a job was writing, and ``None`` where the command ended before.
        """
        limit = time.monotonic() + seconds
        while self.main.poll() is None:
            jobs = {pid: lock for pid, lock in self.jobs().items() if lock not in fault.struck}
            if self.job.kind == "fit" and fault.victim == "worker":
                jobs.pop(self.main.pid, None)
            late = time.monotonic() > limit
            for pid in chance.sample([*jobs], len(jobs)):
                writes = is_writing(pid)
                ready = writes or late or not inside
                if ready and self._send(fault, pid, chance.random() < 0.4):
                    if fault.victim == "worker" and self.job.kind != "fit":
                        fault.struck.add(jobs[pid])
                    return writes
            if late and not jobs and time.monotonic() > limit + PATIENCE:
                return None
            time.sleep(0.0003 if inside else 0.01)
        return None

    def _send(self, fault: "Fault", pid: int, everything: bool) -> bool:
        cluster = self.job.cluster
        try:
            if fault.victim == "driver":
                pid = self.main.pid
            elif cluster is not None:
                pid = os.getsid(pid)
            alone = os.getsid(pid) != pid or not everything
            os.kill(pid, fault.number)
        except ProcessLookupError:
            return False
        for other in () if alone else in_session(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, fault.number)
        if cluster is not None and pid in cluster.workers:
            cluster.replace(pid)
        return True

    def wait(self) -> float:
        """Wait until every process ended, by force if need be; return how long it took."""
        start = time.monotonic()
        while self.main.poll() is None or in_session(self.main.pid):
            if time.monotonic() - start > PATIENCE:
                for pid in in_session(self.main.pid):
                    os.kill(pid, signal.SIGKILL)
                self.main.wait()
                break
            time.sleep(0.02)
        return time.monotonic() - start


def in_session(leader: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # ended meanwhile
                state, _, _, session = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                if int(session) == leader and state not in "ZX":
                    found.append(int(entry.name))
    return found


def is_writing(pid: int) -> bool:
    """Whether a process has a file open that is not whole yet."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(entry.path).endswith(PARTIAL):
                    return True
    return False


def changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # tidied up meanwhile
        return 0.0


@dataclass
class Fault:
    """What is done to whom, and what came of it."""

    victim: str
    number: signal.Signals
    struck: set[Path] = field(default_factory=set)
    faults: int = 0
    inside: int = 0
    recovered: int = 0
    lost: int = 0
    different: int = 0
    slowest: float = 0.0
    problems: int = 0

    def note(self, problem: str, running: Running) -> None:
        self.problems += 1
        print(f"{running.folder} {problem}:\n{running.log.read_text()[-3000:]}", file=sys.stderr)

    def compare(self, running: Running, whole: dict[str, object], faults: int) -> None:
        """Count what is lost, and what differs or is there too much."""
        found = running.job.result(running.folder)
        lost = len(whole.keys() - found.keys())
        different = sum(whole.get(name) != value for name, value in found.items())
        self.lost, self.different = self.lost + lost, self.different + different
        if lost or different:
            self.note(
                f"is not what it was without faults: {lost} lost, {different} differ", running
            )
        else:
            self.recovered += faults


def reference(job: Job, folder: Path) -> tuple[dict[str, object], float]:
    """Run a job without a fault; return what it makes and the seconds its steps take."""
    running = Running(job, folder)
    if not running.wait_until_begun():
        raise RuntimeError(f"{folder} did not begin:\n{running.log.read_text()}")
    seconds = running.wait()
    if running.main.returncode:
        raise RuntimeError(f"{folder} failed:\n{running.log.read_text()}")
    return job.result(folder), seconds


def survive(
    job: Job, fault: Fault, faults: int, folder: Path, seed: int, whole: Any, seconds: float
) -> None:
    """Inject so many faults of one kind and compare what comes out; see ``reference``."""
    chance, place = random.Random(f"{seed} {folder.name}"), folder
    attempt = 0
    while fault.faults < faults and fault.problems < MANY and attempt < 3 * faults:
        place, before = folder / str(attempt), fault.faults
        attempt += 1
        fault.struck.clear()
        while (running := run_once(job, fault, faults, place, chance, seconds)) is None:
            pass
        if running.main.returncode == 0:
            fault.compare(running, whole, fault.faults - before)


def run_once(
    job: Job, fault: Fault, faults: int, place: Path, chance: random.Random, seconds: float
) -> Running | None:
    """Run a command, with faults as long as there are to be more; ``None`` is to run it again."""
    running, by_itself = Running(job, place), fault.victim == "worker" and job.kind != "fit"
    before, last, ended = fault.faults, 0.0, (-fault.number, 128 + fault.number)
    while (
        fault.faults < faults
        and (by_itself or fault.faults == before)
        and running.wait_until_begun()
    ):
        limit = time.monotonic() + chance.uniform(0, seconds / 2)
        while time.monotonic() < limit and running.main.poll() is None:
            time.sleep(0.001)
        inside = running.strike(fault, chance, seconds, 3 * fault.inside <= fault.faults)
        if inside is None:
            break
        last = time.monotonic()
        fault.faults, fault.inside = fault.faults + 1, fault.inside + inside
    took, status = running.wait(), running.main.returncode
    struck = fault.faults > before
    if struck:
        fault.slowest = max(fault.slowest, time.monotonic() - last)
    if took > PATIENCE:
        fault.note("did not end", running)
    elif status == 0:
        return running
    elif struck and not by_itself and (job.kind == "fit" or status in ended):
        return None
    else:
        fault.note(f"ended with {status}", running)
    return running


@contextlib.contextmanager
def engine(kind: str, name: str, folder: Path) -> Iterator[Job]:
    """Yield a job on its engine."""
    cluster = Cluster(folder / f"cluster of {kind}s") if name == "Dask" else None
    try:
        yield Job(kind, name, folder, cluster)
    finally:
        if cluster is not None:
            cluster.close()


def run_all(options: argparse.Namespace, folder: Path) -> bool:
    """Print a row for every kind of fault; return whether all was recovered."""
    sound = True
    build = [sys.executable, "-m", "wsrl.cli", *BUILD.split(), "--out", str(folder / "zoo")]
    subprocess.run(build, check=True, capture_output=True)
    chosen = [
        (k, e) for k in options.jobs for e in ENGINES[k] if e in options.engines or k == "fit"
    ]
    for kind, name in chosen:
        with engine(kind, name, folder) as job:
            whole, seconds = reference(job, folder / f"{kind} {name}".replace(" ", "-"))
            for victim in options.victims:
                for number in options.signals:
                    if victim == "worker" and name == "1 process":
                        continue
                    fault, start = Fault(victim, signal.Signals[number]), time.monotonic()
                    place = folder / f"{kind} {name} {victim} {number}".replace(" ", "-")
                    survive(job, fault, options.faults, place, options.seed, whole, seconds)
                    minutes = (time.monotonic() - start) / 60
                    cells = [kind, name, victim, number, fault.faults, fault.inside]
                    cells += [
                        fault.recovered,
                        fault.lost,
                        fault.different,
                        f"{fault.slowest:.1f} s",
                        f"{minutes:.1f} min",
                    ]
                    print("|", *(f"{cell} |" for cell in cells), flush=True)
                    sound &= not fault.problems and fault.recovered == options.faults
    return sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=20, help="of each kind")
    jobs, engines, victims = ["zoo build", "grid"], ["pool", "Dask"], ["worker", "driver"]
    parser.add_argument("--jobs", nargs="+", default=jobs, choices=[*ENGINES])
    parser.add_argument("--engines", nargs="+", default=engines, choices=engines)
    parser.add_argument("--victims", nargs="+", default=victims, choices=victims)
    signals = ["SIGKILL", "SIGTERM"]
    parser.add_argument("--signals", nargs="+", default=signals[:1], choices=signals)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep all that is made in this folder")
    options = parser.parse_args()
    names = ["job", "engine", "victim", "signal", "faults", "in a write", "recovered", "lost"]
    names += ["different", "slowest end", "took"]
    print("|", *(f"{name} |" for name in names))
    print("|" + "---|" * len(names), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        if not run_all(options, options.out or Path(scratch)):
            sys.exit("not everything was recovered")


if __name__ == "__main__":
    main()
