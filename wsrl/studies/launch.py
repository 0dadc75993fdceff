"""The processes of one command: started by Lightning Fabric, by torchrun, by srun, or one alone.

Processes are independent: they share their work through files, and no process waits for another to
start or fails with it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch

from wsrl.environment import check_numbers, srun_numbers, torchrun_numbers
from wsrl.stopping import StopRequests, is_launched
from wsrl.studies.options import check_devices

Child: TypeAlias = "subprocess.Popen[bytes]"

STOPPING_SECONDS = 25.0
"""For how long processes that were told to end are waited for; then they are killed."""


@dataclass(frozen=True)
class Place:
    """The part of one process of a command.

    Attributes:
        device: what it computes on.
        is_main: whether this process prints for all.
        stop: the signals that tell it to end.
    """

    device: str
    is_main: bool
    stop: StopRequests


@contextmanager
def several_processes(
    args: Sequence[str], device: str, devices: int | None, nodes: int | None
) -> Iterator[Place]:
    """Run the body in as many processes as wanted; the main one ends last.

    Stopped by a signal, the first process of a machine reports it; the others end with status 0.
    A process that fails says why, and the others go on.

    Args:
        args: the words of this command, which the processes started here are given again.
        device: ``auto``, ``cpu`` or ``cuda``; any torch device where there is one process.
        devices: processes on every machine; by default as torchrun or srun says, else 1.
        nodes: machines; likewise. Without torchrun or srun the command is started on each of them,
            with its number from 0 in ``NODE_RANK``.

    Raises:
        ValueError: for numbers or devices that this machine does not have.
    """
    with StopRequests(at_once=True) as stop:
        if outer := _outer_launcher():
            _check_agreement(outer, devices, nodes)
            with _first_reports(outer.local_rank):
                yield Place(_own_device(device, outer.local_rank), outer.rank == 0, stop)
            return
        devices, nodes = 1 if devices is None else devices, 1 if nodes is None else nodes
        if devices < 1 or nodes < 1:
            raise ValueError(f"devices and nodes must be at least 1, not {devices} and {nodes}")
        check_devices("--devices", devices)
        is_main = os.environ.get("NODE_RANK", "0") == "0"
        if devices == 1:
            yield Place(device, is_main, stop)
            return
        accelerator = _accelerator(device, devices)
        if list(args) != sys.argv[-len(args) :]:
            raise ValueError(
                f"--devices {devices} starts this command again, which needs it to be a command of "
                "the shell: call it there, or start each process yourself"
            )
        own, children = _launch(accelerator, devices, nodes)
        with _ending_last(stop, children):
            yield Place(own, is_main, stop)


@dataclass(frozen=True)
class _Outer:
    """What started this process and its like; sizes are ``None`` where the options give them."""

    name: str
    rank: int
    local_rank: int
    devices: int | None = None
    nodes: int | None = None


def _outer_launcher() -> _Outer | None:
    """Return what started this process as one of several; ``None`` where nothing did.

    Raises:
        ValueError: where it does not say all that it should.
    """
    check_numbers()
    known = os.environ
    if "TORCHELASTIC_RUN_ID" in known:
        names = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")
        return _Outer("torchrun", *torchrun_numbers(*names))
    # Within a job, but not of srun, there is one process, which may start others.
    if "SLURM_STEP_ID" in known and int(known.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        ranks = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_NUM_NODES")
        rank, local_rank, node, nodes = srun_numbers(*ranks)
        here = _tasks_here(known.get("SLURM_STEP_TASKS_PER_NODE", ""), node)
        return _Outer("srun", rank, local_rank, here, nodes)
    if is_launched():
        local_rank = int(known["LOCAL_RANK"])
        return _Outer("Lightning", local_rank, local_rank)
    return None


def _tasks_here(counts: str, node: int) -> int:
    """Read SLURM's numbers of tasks by node, as ``2(x3),1``."""
    for part in counts.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found is None:
            break
        node -= int(found[2] or 1)
        if node < 0:
            return int(found[1])
    raise ValueError(
        f"started by srun, but SLURM_STEP_TASKS_PER_NODE is {counts!r}, which does not say how "
        "many tasks are on this node: start it with srun"
    )


def _check_agreement(outer: _Outer, devices: int | None, nodes: int | None) -> None:
    for name, given, there in (
        ("devices", devices, outer.devices),
        ("nodes", nodes, outer.nodes),
    ):
        if given is not None and there is not None and given != there:
            raise ValueError(
                f"--{name} {given}, but {outer.name} started this for {there}: leave --{name} out"
            )


def _own_device(device: str, local_rank: int) -> str:
    """Deal out the devices that this process sees: SLURM may show it just one."""
    _check_several(device)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local_rank % torch.cuda.device_count()}"
    return device


def _accelerator(device: str, devices: int) -> str:
    _check_several(device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.cuda.device_count()
    if device == "cuda" and found < devices:
        raise ValueError(f"--devices {devices} on cuda, but there are {found} here")
    return device


def _check_several(device: str) -> None:
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--device {device} is one device, and several processes need one each: expected auto, "
            "cpu or cuda"
        )


def _launch(accelerator: str, devices: int, nodes: int) -> tuple[str, list[Child]]:
    """Start the other processes of this machine; return the device of this one, and them."""
    from lightning.fabric import Fabric  # takes seconds, for those who need it only
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.strategies.ddp import DDPStrategy

    class Apart(DDPStrategy):
        """Independent processes: no process group is made."""

        def setup_environment(self) -> None:
            super(DDPStrategy, self).setup_environment()

    if "OMP_NUM_THREADS" not in os.environ:  # now, so that the others start with it
        threads = max(1, torch.get_num_threads() // devices)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=Apart(),
        plugins=[LightningEnvironment()],
    )
    fabric.launch()
    launched = fabric.strategy.launcher.procs  # type: ignore[union-attr]
    children = list(launched)
    launched.clear()  # or Lightning kills all, this process too, as soon as one of them fails
    return str(fabric.device), children


@contextmanager
def _first_reports(local_rank: int) -> Iterator[None]:
    """Have only the first process of a machine report that all were stopped."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if local_rank > 0:
            raise SystemExit(0) from None
        raise


@contextmanager
def _ending_last(stop: StopRequests, children: Sequence[Child]) -> Iterator[None]:
    """Wait for the children, and end them if this process is stopped."""
    ended = threading.Event()
    forwarding = threading.Thread(target=_forward, args=(stop, children, ended), daemon=True)
    forwarding.start()
    try:
        yield
        while any(child.poll() is None for child in children):  # at the rest of a part, or the end
            stop.raise_if_any()
            time.sleep(0.1)
    finally:
        ended.set()
        forwarding.join()
        _end(children)


def _forward(stop: StopRequests, children: Sequence[Child], ended: threading.Event) -> None:
    """Pass a signal that stops this process on to the children."""
    while not ended.wait(0.1):
        if stop.signal is not None:
            _tell(children)
            return


def _tell(children: Sequence[Child]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)


def _end(children: Sequence[Child]) -> None:
    """End the children within 25 s: clusters kill half a minute after their warning."""
    _tell(children)
    end = time.monotonic() + STOPPING_SECONDS
    while any(child.poll() is None for child in children):
        if time.monotonic() > end:
            for child in children:
                child.kill()
            return
        time.sleep(0.05)
