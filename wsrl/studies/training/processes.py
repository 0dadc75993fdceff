"""The processes of one run: what they agree on, who ends whom, and how a job is queued again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import distributed

from wsrl.terminal import note


class Agreement:
    """What the processes of a run know together; a single process, what it knows itself.

    All must ask at the same moments. They agree on the CPU, over a group of their own, so that a
    step on a GPU is not waited for.
    """

    def __init__(self) -> None:
        several = distributed.is_available() and distributed.is_initialized()
        several = several and distributed.get_world_size() > 1
        self._group = distributed.new_group(backend="gloo") if several else None

    def largest(self, values: Sequence[int]) -> list[int]:
        """Return the largest of each value over all processes."""
        if self._group is None:
            return list(values)
        together = torch.tensor(values)
        distributed.all_reduce(together, distributed.ReduceOp.MAX, self._group)
        return [int(value) for value in together]

    def smallest(self, values: Sequence[int]) -> list[int]:
        """Return the smallest of each value over all processes."""
        return [-value for value in self.largest([-value for value in values])]


class _NoSignalHandlers:
    """Stands where Lightning keeps its signal handlers, and installs none."""

    received_sigterm = False

    def register_signal_handlers(self) -> None:
        pass

    def teardown(self) -> None:
        pass


def leave_signals_alone(trainer: Trainer) -> None:
    """Have Lightning neither handle signals nor ask the first process for them at every step.

    Its handlers speak to the other processes from within the handler, which hangs or fails where
    these do something else at that moment; and they hear the first process only.
    """
    trainer._signal_connector = _NoSignalHandlers()  # type: ignore[assignment]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _say_nothing  # type: ignore[method-assign]


def _say_nothing() -> None:
    pass


def end_children(trainer: Trainer, patience: float) -> None:
    """End the processes that Lightning started for this run, if it did.

    Args:
        trainer: of the run.
        patience: seconds to wait for them before they are killed.
    """
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):
        return
    children = list(launcher.procs)
    # The thread that watches them shares this list: it would kill this process for their failure.
    launcher.procs.clear()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
        if child.poll() is None:
            child.kill()
            child.wait()


def check_sizes(trainer: Mapping[str, Any]) -> None:
    """Check how many processes a trainer is to have.

    Args:
        trainer: its options, as given.

    Raises:
        ValueError: naming the option and what it can be.
    """
    accelerator, devices, nodes = (trainer[n] for n in ("accelerator", "devices", "num_nodes"))
    if not isinstance(nodes, int) or nodes < 1:
        raise ValueError(f"--trainer.num_nodes must be at least 1, not {nodes}")
    if devices in ("auto", None):
        return
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and _accelerator() == "cpu")
    count = _count(devices)
    if on_cpu and (count is None or count < 1):
        raise ValueError(
            f"--trainer.devices must be auto or at least 1 process on a CPU, not {devices}"
        )
    if count is not None and (count < -1 or count == 0):
        raise ValueError(
            f"--trainer.devices must be auto, -1 for all devices, or a number from 1, not {devices}"
        )


def _accelerator() -> str:
    found = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if found is None else found.type


def _count(devices: Any) -> int | None:
    """Return a number of devices; ``None`` where single ones are named."""
    try:
        return int(devices)
    except (TypeError, ValueError):
        return None


def requeues(trainer: Trainer) -> bool:
    """Say whether a SLURM job that is told of its end is to be queued again."""
    environment = trainer._accelerator_connector.cluster_environment
    return isinstance(environment, SLURMEnvironment) and environment.auto_requeue


def requeue() -> None:
    """Queue this SLURM job again, or say that it could not be."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if {"SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"} <= os.environ.keys():
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        reason = str(error)
    else:
        reason = done.stderr.strip() or f"status {done.returncode}"
        if done.returncode == 0:
            return
    note([f"{' '.join(command)} failed ({reason}): queue the job yourself"])
