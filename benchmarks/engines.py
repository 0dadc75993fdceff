"""Put Dask and Parsl through the same six trials on this machine, with two workers each.

    pip install distributed parsl cryptography psutil
    python benchmarks/engines.py [--trials kill driver sigterm gpu overhead port] [--only dask]

A job is a process forked by its worker's forkserver. Told to end by SIGTERM, or when its worker has
died, it saves its state for 1.5 s; begun again, it goes on from there. Jobs note themselves what
they do. The words of a way say what is tried: `nanny`; `teardown` and `handler` (a plugin of the
workers stops the jobs when they close, or at SIGTERM already); SIGTERM `all` (to the worker and all
its descendants, else to what a cluster would have started) or `worker`; `lifetime` (Parsl:
drain_period); `retire` (Parsl: scale_in); `inside` the worker, without a process of its own; `slow`
(Parsl's default heartbeats, 30 and 120 s, else 1 and 5 s); `LocalCluster`; `default` addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import zmq
from distributed import Client, LocalCluster, Reschedule, WorkerPlugin, fire_and_forget
from distributed.core import Status
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

WAYS = {
    "kill": "dask; dask nanny; parsl; parsl manager; parsl slow; parsl slow manager",
    "driver": "dask LocalCluster; dask; dask forget; parsl; parsl slow",
    "sigterm": "dask inside; dask; dask all; dask nanny; dask nanny all; dask nanny teardown;"
    " dask teardown; dask handler; dask handler all; dask handler retire; dask lifetime;"
    " dask teardown lifetime; dask nanny teardown lifetime; parsl; parsl all; parsl inside all;"
    " parsl inside worker; parsl lifetime; parsl retire",
    "gpu": "dask; parsl gpus",
    "overhead": "dask; dask LocalCluster; dask LocalCluster TLS; parsl; parsl curve",
    "port": "dask default; dask LocalCluster; dask LocalCluster TLS; parsl; parsl curve;"
    " parsl curve default",
}
SAVING = 1.5
CHILDREN: dict[str, Any] = {}  # processes of the jobs of this worker


def note(folder: Path, name: str, what: str, pid: int) -> None:
    with open(folder / "notes", "a") as file:
        file.write(json.dumps([time.time(), name, what, pid]) + "\n")


def notes(folder: Path, name: str = "", what: str = "") -> list[Any]:
    text = (folder / "notes").read_text() if (folder / "notes").exists() else ""
    found = [json.loads(line) for line in text.splitlines()]
    return [n for n in found if n[1].startswith(name) and n[2].startswith(what)]


def work(folder: Path, name: str, seconds: float) -> None:
    """Be a job: note the worker's process, save when told to end, leave a file when done."""
    parent = multiprocessing.parent_process()
    if child := multiprocessing.current_process().name == name:
        threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(ValueError):  # a thread gets no signals
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    state = folder / f"{name}.state"
    done = float(state.read_text()) if state.exists() else 0.0
    note(folder, name, "begin", parent.pid or 0 if child and parent else os.getpid())
    try:
        while done < seconds:
            time.sleep(0.05)
            done += 0.05
    except SystemExit:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(SAVING)
        state.write_text(str(done))
        note(folder, name, "saved", os.getpid())
        raise
    note(folder, name, "end", os.getpid())
    (folder / f"{name}.done").touch()


def end_with(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def work_in_child(folder: Path, name: str, seconds: float, way: str) -> None:
    """Run a job in a process of its own, forked by this worker's forkserver."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deaf", "engines"])  # "all" shall not end the forkserver
    process = context.Process(target=work, args=(folder, name, seconds), name=name)
    if (folder / f"{name}.done").exists():
        return
    process.start()
    CHILDREN[name] = process
    process.join()
    del CHILDREN[name]
    if process.exitcode:
        raise Reschedule if "dask" in way else RuntimeError(f"ended with {process.exitcode}")


def device(seconds: float) -> tuple[int, str | None]:
    time.sleep(seconds)
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


class StopsJobs(WorkerPlugin):
    """Tells jobs to save, and waits until they have, before the worker leaves."""

    def __init__(self, way: str) -> None:
        self.way = way

    def setup(self, worker: Any) -> None:
        def leave(*_: object) -> None:
            loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(self.leave(worker))))

        loop, tasks = asyncio.get_running_loop(), list[Any]()
        if "handler" in self.way:
            signal.signal(signal.SIGTERM, leave)  # Dask's own, set before, is replaced

    async def teardown(self, worker: Any) -> None:
        for process in CHILDREN.values():
            process.terminate()
        while CHILDREN:
            await asyncio.sleep(0.05)

    async def leave(self, worker: Any) -> None:
        worker.status = Status.closing_gracefully  # begins nothing more
        await self.teardown(worker)
        await asyncio.sleep(0.3)  # the worker tells the scheduler to begin the job elsewhere
        await worker.scheduler.retire_workers(workers=[worker.address], close_workers=False)
        await worker.close(reason="SIGTERM")


def start_dask(folder: Path, way: str) -> None:
    host = [] if "default" in way else ["--host", "127.0.0.1"]
    file = ["--scheduler-file", str(folder / "scheduler.json"), *host]
    nanny = "--nanny" if "nanny" in way else "--no-nanny"
    worker = ["dask_worker", *file, "--nthreads", "1", nanny, "--name"]
    lifetime = ["--lifetime", "14s"] if "lifetime" in way else []
    commands = [["dask_scheduler", "--port", "0", *file], [*worker, "w0", *lifetime]]
    for number, words in enumerate([*commands, [*worker, "w1"]], -1):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(number)}
        words = [sys.executable, "-m", f"distributed.cli.{words[0]}", *words[1:]]
        subprocess.Popen(words, env=environment, start_new_session=True)


@contextlib.contextmanager
def engine(folder: Path, way: str) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Start an engine and two workers; yield what can be asked, and what submits."""
    if "parsl" in way:
        executor = HighThroughputExecutor(
            address=None if "default" in way else "127.0.0.1",
            max_workers_per_node=2 if "gpus" in way else 1,
            cores_per_worker=0.5,
            available_accelerators=2 if "gpus" in way else (),
            heartbeat_period=30 if "slow" in way else 1,
            heartbeat_threshold=120 if "slow" in way else 5,
            drain_period=14 if "lifetime" in way else None,
            encrypted="curve" in way,
            provider=LocalProvider(**dict.fromkeys(  # a block stands for a job of the cluster
                ("init_blocks", "min_blocks", "max_blocks"), 1 if "gpus" in way else 2
            )),
        )  # fmt: skip
        run_dir = str(folder / f"parsl-{os.getpid()}")
        with parsl.load(Config([executor], retries=3, run_dir=run_dir, exit_mode="cleanup")):
            yield executor, lambda function, *args: parsl.python_app(function)(*args)
        return
    if "LocalCluster" in way:
        security = {"security": True, "protocol": "tls"} if "TLS" in way else {}
        cluster = LocalCluster(2, threads_per_worker=1, dashboard_address=":0", **security)
        client = Client(cluster)
    else:
        if not (folder / "scheduler.json").exists():
            start_dask(folder, way)
        client = Client(scheduler_file=str(folder / "scheduler.json"))
    client.wait_for_workers(2)
    if "teardown" in way or "handler" in way:
        client.register_plugin(StopsJobs(way))
    place = {"workers": ["w0"], "allow_other_workers": True} if "lifetime" in way else {}

    def submit(function: Callable[..., Any], *arguments: Any) -> Any:
        future = client.submit(function, *arguments, pure=False, **place)
        if "forget" in way:
            fire_and_forget(future)
        return future

    yield client, submit


def family(pid: int) -> list[psutil.Process]:
    """Return a process, its descendants, and those of Parsl's blocks, which it detaches."""
    every, block = psutil.process_iter(["cmdline"]), f"/parsl-{pid}/"
    roots = [psutil.Process(pid)]
    roots += [p for p in every if block in " ".join(p.info["cmdline"] or [])]
    found = dict.fromkeys(roots)
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(dict.fromkeys(root.children(recursive=True)))
    return list(found)


def started_by_cluster(worker: int) -> psutil.Process:
    """Return the nanny, the worker without one, or Parsl's manager."""
    marks = ("dask worker", "dask_worker", "process_worker_pool.py")
    above = [psutil.Process(worker), *psutil.Process(worker).parents()]
    return [p for p in above if any(m in " ".join(p.cmdline()) for m in marks)][-1]


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def until(condition: Callable[[], object], patience: float = 60) -> float | None:
    """Return the seconds until something is so, or None."""
    start = time.monotonic()
    while not condition() and time.monotonic() - start < patience:
        time.sleep(0.02)
    return time.monotonic() - start if time.monotonic() - start < patience else None


def said(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def first(found: list[Any], since: float) -> str:
    return said(found[0][0] - since if found else None)


def outcome(future: Any) -> str:
    error = future.exception() if future.done() else TimeoutError()
    return type(error).__name__ if error else "done"


def kill(folder: Path, way: str) -> dict[str, Any]:
    with engine(folder, way) as (_, submit):
        futures = {j: submit(work_in_child, folder, j, 3.0, way) for j in "abc"}
        until(lambda: len(notes(folder, what="begin")) >= 2)
        time.sleep(1)
        killed, (_, victim, _, worker) = time.time(), notes(folder, what="begin")[0]
        (started_by_cluster(worker) if "manager" in way else psutil.Process(worker)).kill()
        known = until(lambda: all(f.done() for f in futures.values()), 240)
        return {
            "begun again after": first(notes(folder, victim, "begin")[1:], killed),
            "ended after": first(notes(folder, victim, "end")[-1:], killed),
            "engine has all after": said(known),
            "jobs": [outcome(f) for f in futures.values()],
            "others begun": [len(notes(folder, j, "begin")) for j in "abc" if j != victim],
        }


def drive(folder: Path, way: str) -> dict[str, Any]:
    with engine(folder, way) as (_, submit):
        wanted = [j for j in "abcdef" if not (folder / f"{j}.done").exists()]
        futures = [submit(work_in_child, folder, j, 10.0, way) for j in wanted]
        until(lambda: all(f.done() for f in futures), 120)
        return {"of the second": [outcome(f) for f in futures]}


def driver(folder: Path, way: str) -> dict[str, Any]:
    def watch() -> None:
        left.append(until(lambda: not any(alive(p) for p in old), 150))

    left: list[float | None] = []
    before = subprocess.Popen(command("drive", folder, way), stdout=subprocess.DEVNULL)
    until(lambda: len(list(folder.glob("*.done"))) >= 2)
    time.sleep(1)
    old, ended = family(before.pid)[1:], {n[1] for n in notes(folder, what="end")}
    before.kill()
    before.wait()
    killed, watching = time.time(), threading.Thread(target=watch)
    watching.start()
    time.sleep(1)
    after = ask("drive", folder, way)
    watching.join()
    again = [n for n in notes(folder, what="begin") if n[0] > killed and n[1] in ended]
    twice, now = set(), dict.fromkeys("abcdef", 0)
    for _, name, what, _ in notes(folder):
        now[name] += 1 if what == "begin" else -1
        twice |= {name} if now[name] > 1 else set()
    return {
        "old processes gone after": said(left[0]),
        "finished jobs done again": len(again),
        "jobs that ran twice at once": len(twice),
        **after,
    }


def sigterm(folder: Path, way: str) -> dict[str, Any]:
    with engine(folder, way) as (asked, submit):
        warm = [submit(work_in_child, folder, w, 0.5, way) for w in ("warm0", "warm1")]
        until(lambda: all(w.done() for w in warm))  # both forkservers run
        inside = "inside" in way
        future = submit(work if inside else work_in_child, folder, "long", 10.0, *[way][inside:])
        until(lambda: notes(folder, "long", "begin"))
        worker = notes(folder, "long", "begin")[0][3]
        main = started_by_cluster(worker)
        time.sleep(1)
        told = time.time()
        if "retire" in way and "dask" in way:
            where = [w for w, pid in asked.run(os.getpid).items() if pid == worker]
            asked.retire_workers(workers=where, close_workers=True)
        elif "retire" in way:
            asked.scale_in(2)
        elif "lifetime" not in way:
            processes = family(main.pid) if "all" in way else [main]
            for process in [psutil.Process(worker)] if "worker" in way else processes:
                process.terminate()
        until(lambda: future.done() or not alive(main))
        gone = None if alive(main) else time.time() - told
        until(future.done)
        begun, saved = notes(folder, "long", "begin")[1:], notes(folder, "long", "saved")
        if "parsl" in way:
            failures = future.task_record["fail_count"]
        else:
            failures = asked.run_on_scheduler(
                lambda dask_scheduler: dask_scheduler.tasks[future.key].suspicious
            )
        return {
            "saved": first(saved, told),
            "begun again": first(begun, told),
            "begun - saved": first(begun, saved[0][0]) if saved else "-",
            "worker gone": said(gone),
            "counted failures": failures,
            "job": outcome(future),
        }


def gpu(folder: Path, way: str) -> dict[str, Any]:
    with engine(folder, way) as (_, submit):
        found = {f.result() for f in [submit(device, 0.5) for _ in range(8)]}
        return {"a worker's process and CUDA_VISIBLE_DEVICES": sorted(found)}


def overhead(folder: Path, way: str) -> dict[str, Any]:
    def cpu() -> float:
        return sum(sum(p.cpu_times()[:2]) for p in family(os.getpid()))

    begun = time.monotonic()
    with engine(folder, way) as (_, submit):
        for future in [submit(device, 0.01) for _ in range(20)]:
            future.result()
        start, before = time.monotonic(), cpu()
        for future in [submit(device, 0.1) for _ in range(1000)]:
            future.result()
        wall = time.monotonic() - start
        return {
            "start": said(start - begun),
            "1,000 jobs": said(wall),
            "over the ideal, per job": f"{wall - 50:.1f} ms",
            "CPU": said(cpu() - before),
        }


def stranger(folder: Path, way: str) -> dict[str, Any]:
    """Connect to ports without a key, and try to have code run."""
    results = []
    for port in json.loads((folder / "ports").read_text()):
        path = folder / f"stranger-{port}"
        if "dask" in way:
            for protocol in ("tcp", "tls"):
                with contextlib.suppress(Exception):
                    client = Client(f"{protocol}://127.0.0.1:{port}", timeout=4)
                    client.submit(os.system, f"id > {path}").result(timeout=5)
        else:
            socket: Any = zmq.Context.instance().socket(zmq.DEALER)
            socket.connect(f"tcp://127.0.0.1:{port}")
            socket.send(f"cos\nsystem\n(S'id > {path}'\ntR.".encode())  # a pickle that calls it
            until(path.exists, 3)
        results.append("ran code" if path.exists() else "did not")
    return {"a stranger, at each port tried": results}


def port(folder: Path, way: str) -> dict[str, Any]:
    with engine(folder, way) as (asked, submit):
        submit(device, 0.0).result()
        sockets = {c.laddr for p in family(os.getpid()) for c in p.net_connections("inet")
                   if c.status == psutil.CONN_LISTEN}  # fmt: skip
        ports = [address.port for address in sockets]
        if "dask" in way:  # the workers' and the dashboards' are left out
            ports = [int(asked.scheduler.address.rsplit(":", 1)[1])]
        (folder / "ports").write_text(json.dumps(ports))
        addresses = [a.ip for a in sockets]
        counted = {ip: addresses.count(ip) for ip in sorted(set(addresses))}
        return {"listens at": counted, **ask("stranger", folder, way)}


def command(trial: str, folder: Path, way: str) -> list[str]:
    call = f"print(json.dumps(engines.{trial}(pathlib.Path({str(folder)!r}), {way!r})), flush=True)"
    return [sys.executable, "-c", f"import engines, json, os, pathlib; {call}; os._exit(0)"]


def ask(trial: str, folder: Path, way: str) -> Any:
    """Run a trial in a process that imports this file as a module, as workers do."""
    with open(folder / "log", "a") as log:
        ran = subprocess.Popen(
            command(trial, folder, way), cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
        seen: set[psutil.Process] = set()
        while ran.poll() is None:
            seen |= set(family(ran.pid)[1:])
            time.sleep(1)
    if trial != "drive":
        for process in seen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    lines = ran.stdout.read().splitlines() if ran.stdout else []
    return json.loads(lines[-1]) if lines else {"failed": str(folder / "log")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--only", default="", help="ways that begin so")
    options = parser.parse_args()
    os.environ["DASK_DISTRIBUTED__WORKER__DAEMON"] = (
        "False"  # else nannies' workers have no children
    )
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # Parsl's scripts
    for trial in options.trials:
        head: list[str] = []
        for way in [w for w in WAYS[trial].split("; ") if w.startswith(options.only)]:
            folder = Path(tempfile.mkdtemp(prefix="engines-"))
            os.environ["PYTHONPATH"] = f"{Path(__file__).resolve().parent}:{folder}"
            deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            (folder / "deaf.py").write_text(deaf)
            row = ask(trial, folder, way)
            if head != list(row):
                head = list(row)
                print(f"\n| {trial} | " + " | ".join(head) + " |\n|" + "---|" * (len(head) + 1))
            print(f"| {way} | " + " | ".join(str(v) for v in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
