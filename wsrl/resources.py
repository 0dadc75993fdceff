"""What this machine has: memory, with refusal of what cannot fit in it, and GPUs."""

import contextlib
import os
from pathlib import Path

CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files in which Linux states a container's memory limit."""


def check_fits(what: str, needed: float, advice: str) -> None:
    """Refuse what needs more bytes than the machine has, before it grows until the system kills.

    Memory that others use is not subtracted.
    """
    held = machine_memory()
    if held is not None and needed > held:
        raise ValueError(
            f"{what} needs at least {needed / 1e9:,.0f} GB of memory, this machine has "
            f"{held / 1e9:,.0f} GB: {advice}"
        )


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine or container, or ``None`` if unknown."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # not here, or "max"
            sizes.append(int(path.read_text()))
    return min(sizes, default=None)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch  # takes seconds, for those who need it only

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    given = [number.strip() for number in named.split(",") if number.strip()]
    return given if given and count else [str(number) for number in range(count)]


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and by SLURM's word."""
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    if (given := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdigit():
        counts.append(max(1, int(given)))
    return min(counts)


def threads_each(jobs: int) -> int:
    """Return the threads that each of several jobs gets, of ``OMP_NUM_THREADS`` or all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(given) if given.isdigit() else usable_cores()) // jobs)


def check_devices(option: str, devices: object) -> None:
    """Refuse a number of processes that no machine could start; other settings of devices pass."""
    wanted = int(devices) if isinstance(devices, str) and devices.isdigit() else devices
    most = max(64, 4 * (os.cpu_count() or 1))
    if isinstance(wanted, int) and wanted > most:
        raise ValueError(f"{option} is {wanted}: this machine has room for at most {most}")
