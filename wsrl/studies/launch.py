"""Which share of a zoo this process builds: as the command line, torchrun or srun says."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from wsrl.environment import check_numbers, srun_numbers, torchrun_numbers
from wsrl.studies.options import check_devices
from wsrl.zoos.folder import Part


@dataclass(frozen=True)
class Place:
    """What is this process's to do.

    Attributes:
        device: what it computes on.
        workers: processes that it starts.
        part: its share of the shards; ``None`` for all.
    """

    device: str
    workers: int
    part: Part | None


def find_place(
    device: str, devices: int | None = None, nodes: int | None = None, part: Part | None = None
) -> Place:
    """Return the share of this process.

    Started by torchrun or srun with others, it has the share of its rank, and the device of its
    local rank. Else it has the share of its node (``NODE_RANK``, from 0), or ``part``.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``; any torch device where there is one process.
        devices: processes on every machine, by default 1.
        nodes: machines, by default 1.
        part: a share given by the user.

    Raises:
        ValueError: for sizes or devices that cannot be had, or where two things say which share.
    """
    check_numbers()
    if launched := _launched():
        name, rank, local_rank, processes = launched
        if part is not None or devices is not None or nodes is not None:
            raise ValueError(
                f"{name} starts the processes and shares out the work: leave --part, --devices and "
                "--nodes out"
            )
        return Place(_own_device(device, local_rank), 1, (rank + 1, processes))
    workers, nodes = 1 if devices is None else devices, 1 if nodes is None else nodes
    if workers < 1 or nodes < 1:
        raise ValueError(f"devices and nodes must be at least 1, not {workers} and {nodes}")
    check_devices("--devices", workers)
    if workers > 1:
        _check_accelerator(device, workers)
    if nodes > 1:
        if part is not None:
            raise ValueError(
                "--nodes shares out the work, and so does --part: leave one of them out"
            )
        part = (int(os.environ.get("NODE_RANK", "0")) + 1, nodes)
    return Place(device, workers, part)


def _launched() -> tuple[str, int, int, int] | None:
    """Return what started this process with others: name, rank, local rank, processes."""
    known = os.environ
    if "TORCHELASTIC_RUN_ID" in known:
        rank, local_rank, processes = torchrun_numbers("RANK", "LOCAL_RANK", "WORLD_SIZE")
        return "torchrun", rank, local_rank, processes
    # Within a job, but not of srun, there is one process, which may start others.
    if "SLURM_STEP_ID" in known and int(known.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        ranks = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")
        rank, local_rank, processes = srun_numbers(*ranks)
        return "srun", rank, local_rank, processes
    return None


def _own_device(device: str, local_rank: int) -> str:
    """Deal out the devices that this process sees: SLURM may show it just one."""
    _check_several(device)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local_rank % torch.cuda.device_count()}"
    return device


def _check_accelerator(device: str, workers: int) -> None:
    _check_several(device)
    found = torch.cuda.device_count()
    if device == "cuda" and found < workers:
        raise ValueError(f"--devices {workers} on cuda, but there are {found} here")


def _check_several(device: str) -> None:
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--device {device} is one device, and several processes need one each: expected auto, "
            "cpu or cuda"
        )
