"""The processes of one run: what they agree on, and how their job is queued again."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer

from wsrl.terminal import note


def largest(trainer: Trainer, values: Sequence[int]) -> list[int]:
    """Return the largest of each value over all processes, which must ask at the same moments."""
    if trainer.world_size == 1:
        return list(values)
    together = torch.tensor(values, device=trainer.strategy.root_device)
    return [int(value) for value in trainer.strategy.reduce(together, reduce_op="max")]


def is_requeued(plugins: Sequence[Any]) -> bool:
    """Say whether a trainer with these plugins runs in a SLURM job that is to be queued again."""
    for plugin in plugins:
        if isinstance(plugin, ClusterEnvironment):
            return isinstance(plugin, SLURMEnvironment) and plugin.auto_requeue
    return SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()


def requeue() -> None:
    """Queue this SLURM job again, or say that it could not be."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if {"SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"} <= os.environ.keys():
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        note([f"{' '.join(command)} failed ({reason}): queue the job yourself"])
