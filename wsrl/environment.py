"""Checks of the environment variables of torchrun, SLURM and Lightning, before they are used.

A launcher sets several variables together. If some are missing, for example because a shell
inherited the others from another job, libraries fail in the middle of their work or wait forever.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

_NUMBERS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"),
    *("SLURM_NNODES", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "SLURM_JOB_ID"),
    "JSM_NAMESPACE_RANK",
)
_TORCHRUN, _SRUN = "start it with torchrun, or unset TORCHELASTIC_RUN_ID", "start it with srun"


def check_numbers() -> None:
    """Check that ranks and counts are whole numbers; Lightning reads them when it is imported.

    Raises:
        ValueError: naming the variable and what to do.
    """
    for name in _NUMBERS:
        given = os.environ.get(name, "0")
        if not (given.isascii() and given.isdigit()):
            raise ValueError(
                f"the environment variable {name} is {given!r}: expected a whole number, as a "
                f"launcher sets it; unset {name} where none did"
            )


def numbers(launcher: str, names: Iterable[str], advice: str) -> list[int]:
    """Return the numbers that a launcher sets.

    Args:
        launcher: that started this process.
        names: of the variables.
        advice: what to do where one is missing.

    Raises:
        ValueError: naming a variable that is missing.
    """
    check_numbers()
    for name in names:
        if name not in os.environ:
            raise ValueError(f"started by {launcher}, but {name} is not set: {advice}")
    return [int(os.environ[name]) for name in names]


def torchrun_numbers(*names: str) -> list[int]:
    """Return numbers that torchrun sets, as ``numbers`` does."""
    return numbers("torchrun (TORCHELASTIC_RUN_ID is set)", names, _TORCHRUN)


def srun_numbers(*names: str) -> list[int]:
    """Return numbers that srun sets for one of several tasks, as ``numbers`` does."""
    return numbers("SLURM as one of several tasks", names, _SRUN)


def check_training() -> None:
    """Check that the variables of a launcher are complete and agree.

    Raises:
        ValueError: naming the variable that is missing or contradicts another, and what to do.
    """
    check_numbers()
    known = os.environ
    if "TORCHELASTIC_RUN_ID" in known:
        _check_torchrun()
    elif "SLURM_NTASKS" in known and known.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        _check_slurm()
    elif "RANK" in known and "WORLD_SIZE" not in known:
        raise ValueError(
            "RANK is set, but WORLD_SIZE is not: start the command with torchrun, or unset RANK"
        )
    elif int(known.get("LOCAL_RANK", "0")) > 0 and "MASTER_PORT" not in known:
        raise ValueError(
            f"LOCAL_RANK is {known['LOCAL_RANK']}, so this is one of several processes, but "
            "MASTER_PORT, where they meet, is not set: start the command with torchrun, or unset "
            "LOCAL_RANK"
        )


def _check_torchrun() -> None:
    rank, _, world_size = torchrun_numbers("RANK", "LOCAL_RANK", "WORLD_SIZE")
    if rank >= world_size:
        raise ValueError(f"RANK is {rank}, but WORLD_SIZE is {world_size}: {_TORCHRUN}")
    if world_size > 1:
        torchrun_numbers("MASTER_PORT")
        if "MASTER_ADDR" not in os.environ:
            raise ValueError(f"started by torchrun, but MASTER_ADDR is not set: {_TORCHRUN}")


def _check_slurm() -> None:
    tasks = int(os.environ["SLURM_NTASKS"])
    if tasks <= 1:
        return
    if "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ValueError(
            f"SLURM was asked for {tasks} tasks, but not for how many on each node: use "
            f"--ntasks-per-node={tasks} instead of --ntasks={tasks} (sbatch)"
        )
    rank, *_ = srun_numbers("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
    if rank >= tasks:
        raise ValueError(f"SLURM_PROCID is {rank}, but SLURM_NTASKS is {tasks}: {_SRUN}")
