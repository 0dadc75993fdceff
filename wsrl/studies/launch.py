"""The processes of one command: started by Lightning Fabric, by torchrun, by srun, or one alone.

They talk to nobody: what they work on together lies on the disk. So none waits for another to be
there, and none falls with another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from wsrl.stopping import StopRequests

STOPPING_SECONDS = 25.0
"""For how long processes that were told to end are waited for; then they are killed."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its command.

    Attributes:
        device: what it computes on.
        is_main: whether it is the one that speaks for all.
        local_rank: its number on this machine, from 0.
        started_by_us: whether the main process of this command started it.
        stop: the signals that tell it to end.
    """

    device: str
    is_main: bool
    local_rank: int
    started_by_us: bool
    stop: StopRequests


@contextmanager
def several_processes(
    args: Sequence[str], device: str, devices: int | None, nodes: int | None
) -> Iterator[Place]:
    """Run the body in as many processes as wanted; the main one ends last.

    Of the processes that this one starts, those that are told to end do so with status 0, and so do
    those that fail, once they have said why: Lightning kills all as soon as one ends otherwise.

    Args:
        args: the words of this command, which the processes started here are given again.
        device: ``auto``, ``cpu`` or ``cuda``; any torch device where there is one process.
        devices: processes on every machine; by default as torchrun or srun says, else 1.
        nodes: machines; likewise. Without torchrun or srun the command is started on each of them,
            with its number from 0 in ``NODE_RANK``.

    Raises:
        ValueError: for sizes or devices that cannot be had.
    """
    outer = _outer_launcher()
    if outer is not None:
        _check_agreement(outer, devices, nodes)
        chosen = _own_device(device, outer.local_rank)
        with StopRequests() as stop:
            place = Place(chosen, outer.rank == 0, outer.local_rank, False, stop)
            with _outer_process(place):
                yield place
        return
    devices, nodes = 1 if devices is None else devices, 1 if nodes is None else nodes
    if devices < 1 or nodes < 1:
        raise ValueError(f"devices and nodes must be at least 1, not {devices} and {nodes}")
    if devices == 1:
        with StopRequests() as stop:
            yield Place(device, int(os.environ.get("NODE_RANK", 0)) == 0, 0, False, stop)
        return
    accelerator = _accelerator(device, devices)
    if "LOCAL_RANK" not in os.environ and list(args) != sys.argv[-len(args) :]:
        raise ValueError(
            f"--devices {devices} starts this command again, which needs it to be a command of the "
            "shell: call it there, or start each process yourself"
        )
    with StopRequests() as stop:
        fabric = _launch(accelerator, devices, nodes)
        environment = fabric.strategy.cluster_environment
        rank = environment.local_rank()
        place = Place(
            str(fabric.device), rank == environment.node_rank() == 0, rank, rank > 0, stop
        )
        with _child(place) if rank > 0 else _parent(place, fabric.strategy.launcher.procs):
            yield place


@dataclass(frozen=True)
class _Outer:
    """What started this process and its like."""

    name: str
    devices: int
    nodes: int
    rank: int
    local_rank: int


def _outer_launcher() -> _Outer | None:
    """Return how torchrun or srun started this process; ``None`` where neither did."""
    known = os.environ
    if "TORCHELASTIC_RUN_ID" in known:
        names: tuple[str, ...] = ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "RANK", "LOCAL_RANK")
        here, nodes, rank, local_rank = (int(known[name]) for name in names)
        return _Outer("torchrun", here, nodes, rank, local_rank)
    # Within a job, but not of srun, there is one process, which may start others.
    if "SLURM_STEP_ID" in known and int(known.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        here = _tasks_here(known["SLURM_STEP_TASKS_PER_NODE"], int(known["SLURM_NODEID"]))
        names = ("SLURM_STEP_NUM_NODES", "SLURM_PROCID", "SLURM_LOCALID")
        nodes, rank, local_rank = (int(known[name]) for name in names)
        return _Outer("srun", here, nodes, rank, local_rank)
    return None


def _tasks_here(counts: str, node: int) -> int:
    """Read SLURM's numbers of tasks by node, as ``2(x3),1``."""
    spread: list[int] = []
    for part in counts.split(","):
        count, _, times = part.rstrip(")").partition("(x")
        spread += [int(count)] * int(times or 1)
    return spread[node]


def _check_agreement(outer: _Outer, devices: int | None, nodes: int | None) -> None:
    for name, given, there in (
        ("devices", devices, outer.devices),
        ("nodes", nodes, outer.nodes),
    ):
        if given not in (None, there):
            raise ValueError(
                f"--{name} {given}, but {outer.name} started this for {there}: leave --{name} out"
            )


def _own_device(device: str, local_rank: int) -> str:
    """Deal out the devices that this process sees: SLURM may show it just one."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local_rank % torch.cuda.device_count()}"
    return device


def _accelerator(device: str, devices: int) -> str:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise ValueError(
            f"--device {device} is one device, and --devices {devices} need several: "
            "expected auto, cpu or cuda"
        )
    found = torch.cuda.device_count()
    if device == "cuda" and found < devices:
        raise ValueError(f"--devices {devices} on cuda, but there are {found} here")
    return device


def _launch(accelerator: str, devices: int, nodes: int) -> Any:
    """Start the other processes of this machine, or be one of them."""
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.strategies.ddp import DDPStrategy

    class Apart(DDPStrategy):
        """Processes that do not talk, and so do not wait for one another to be there."""

        def setup_environment(self) -> None:
            super(DDPStrategy, self).setup_environment()

    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=Apart(),
        plugins=[LightningEnvironment()],
    )
    fabric.launch()
    return fabric


@contextmanager
def _outer_process(place: Place) -> Iterator[None]:
    """End well where told to, unless this is the first of its machine."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if place.local_rank > 0:
            raise SystemExit(0) from None
        raise


@contextmanager
def _child(place: Place) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise SystemExit(0) from None
    except (ValueError, OSError, RuntimeError) as error:
        print(
            f"process {place.local_rank}: error: {error} (the other processes go on)",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(0) from error


@contextmanager
def _parent(place: Place, children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Have the children end when this process does, and not before they are through."""
    ended = threading.Event()
    forwarding = threading.Thread(target=_forward, args=(place.stop, children, ended), daemon=True)
    forwarding.start()
    try:
        yield
        while any(child.poll() is None for child in children):  # at the rest of a part, or the end
            place.stop.raise_if_any()
            time.sleep(0.1)
    finally:
        ended.set()
        forwarding.join()
        _end(children)


def _forward(
    stop: StopRequests, children: Sequence[subprocess.Popen[bytes]], ended: threading.Event
) -> None:
    """Tell the children to end as soon as this process is told."""
    while not ended.wait(0.1):
        if stop.signal is not None:
            _tell(children)
            return


def _tell(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what still runs, in time for a cluster that kills half a minute after its warning."""
    _tell(children)
    end = time.monotonic() + STOPPING_SECONDS
    while any(child.poll() is None for child in children):
        if time.monotonic() > end:
            for child in children:
                child.kill()
            return
        time.sleep(0.05)
