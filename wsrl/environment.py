"""What the environment variables of torchrun, SLURM and Lightning say, checked before it is used.

A launcher sets several variables together. If some are missing, for example because a shell
inherited the others from another job, libraries fail in the middle of their work or wait forever.
"""

import os
import re
from dataclasses import dataclass

from wsrl.resources import visible_gpus

_NUMBERS = re.compile(
    r"((LOCAL|GROUP|NODE|JSM_NAMESPACE)_)?RANK|((LOCAL|GROUP)_)?WORLD_SIZE|MASTER_PORT"
    r"|SLURM_(PROCID|LOCALID|NODEID|NTASKS(_PER_NODE)?|NNODES|STEP_NUM_(TASKS|NODES)|JOB_ID)"
)
_LAUNCHERS = (
    ("torchrun", "TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # Within a job of SLURM, but not of srun, there is one process.
    ("srun", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)
"""Name, the variable by which it is known, and those of rank, processes and local rank."""


def check_numbers() -> None:
    """Check that ranks and counts are whole numbers; Lightning reads them when it is imported."""
    for name, given in os.environ.items():
        if _NUMBERS.fullmatch(name) and not (given.isascii() and given.isdigit()):
            raise ValueError(
                f"the environment variable {name} is {given!r}: expected a whole number, as a "
                f"launcher sets it; unset {name} where none did"
            )


def check_training() -> None:
    """Check that the variables of a launcher are complete and agree, or raise ``ValueError``."""
    check_numbers()
    known = os.environ
    tasks = int(known.get("SLURM_NTASKS", "1"))
    if "TORCHELASTIC_RUN_ID" in known:
        _check(*_LAUNCHERS[0], "MASTER_ADDR", "MASTER_PORT")
    elif tasks > 1 and known.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        if "SLURM_NTASKS_PER_NODE" not in known:
            raise ValueError(
                f"SLURM was asked for {tasks} tasks, but not for how many on each node: use "
                f"--ntasks-per-node={tasks} instead of --ntasks={tasks} (sbatch)"
            )
        places = ("SLURM_LOCALID", "SLURM_NODEID")
        _check("srun", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_NTASKS", *places)
    elif "RANK" in known:
        _check("torchrun", "RANK", "RANK", "WORLD_SIZE")
    if int(known.get("LOCAL_RANK", "0")) > 0 and "MASTER_PORT" not in known:
        raise ValueError("LOCAL_RANK is set, but MASTER_PORT is not: unset LOCAL_RANK")


def _check(launcher: str, sign: str, rank: str, count: str, *others: str) -> None:
    """Check that a launcher's variables are set, and the rank below the number of processes."""
    known = os.environ
    if missing := [name for name in (rank, count, *others) if name not in known]:
        raise ValueError(
            f"{sign} is set, but {missing[0]} is not set: start the command with {launcher}, or "
            f"unset {sign}"
        )
    if int(known[rank]) >= int(known[count]):
        raise ValueError(
            f"{rank} is {known[rank]}, but {count} is {known[count]}: start the command with "
            f"{launcher}"
        )


@dataclass(frozen=True)
class Place:
    """What is this process's to do: a part ``(i, n)`` of the shards, or all, by its workers."""

    device: str
    workers: int
    part: tuple[int, int] | None


def find_place(
    device: str,
    workers: int | None = None,
    nodes: int | None = None,
    part: tuple[int, int] | None = None,
    cluster: str | None = None,
) -> Place:
    """Return the share of a zoo that this process builds; arguments as of ``wsrl zoo build``.

    Started by torchrun or srun with others, it has the share of its rank, and the device of its
    local rank. Else it has the share of its node (``NODE_RANK``, from 0), or ``part``.
    """
    check_numbers()
    launched = _launched()
    count, nodes_here = 1 if workers is None else workers, 1 if nodes is None else nodes
    if count < 1 or nodes_here < 1:
        raise ValueError(f"workers and nodes must be at least 1, not {count} and {nodes_here}")
    if (launched or count > 1 or cluster) and device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--device {device} is one device, and several processes need one each: expected auto, "
            "cpu or cuda"
        )
    shared_out = (bool(launched), part is not None, nodes_here > 1, cluster is not None)
    if sum(shared_out) > 1 or (launched and workers):
        by = f"{launched[0]} starts the processes and" if launched else "each of them"
        raise ValueError(
            f"{by} shares out the work: leave --part, --nodes, --cluster or --workers out"
        )
    if launched:
        _, rank, processes, local_rank = launched
        seen = 0 if device == "cpu" else len(visible_gpus())  # SLURM may show a process just one
        own = f"cuda:{local_rank % seen}" if seen else device
        return Place(own, 1, (rank + 1, processes))
    if device == "cuda" and cluster is None and count > (found := len(visible_gpus())):
        raise ValueError(f"--workers {count} on cuda, but there are {found} here")
    if nodes_here > 1:
        part = (int(os.environ.get("NODE_RANK", "0")) + 1, nodes_here)
    return Place(device, count, part)


def _launched() -> tuple[str, int, int, int] | None:
    """Return what started this process with others: name, rank, processes, local rank."""
    for launcher, sign, *names in _LAUNCHERS:
        if sign in os.environ:
            _check(launcher, sign, *names)
            rank, processes, local_rank = (int(os.environ[name]) for name in names)
            if processes > 1:  # one alone may start others
                return launcher, rank, processes, local_rank
    return None
