"""Whether the labels of a zoo's rows make sense together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from wsrl.zoos.manifest import ZooError


def check_labels(where: Path, columns: Mapping[str, Tensor]) -> None:
    """Check run, step and task of all rows.

    Args:
        where: the zoo, for messages.
        columns: ``run`` and ``step`` ``(n,)``, ``task (n, K)``.

    Raises:
        ZooError: for negative runs or steps, two snapshots of one run at one step, or a task that
            changes within a run.
    """
    pairs = torch.stack([columns["run"], columns["step"]], 1)
    if pairs.min() < 0:
        raise ZooError(f"{where} has negative runs or steps")
    if len(pairs.unique(dim=0)) < len(pairs):
        raise ZooError(f"{where} holds two snapshots of one run at one step")
    runs, index = pairs[:, 0].unique(return_inverse=True)
    tasks = columns["task"].nan_to_num()
    of_run = torch.empty((len(runs), *tasks.shape[1:]), dtype=tasks.dtype)
    of_run[index] = tasks  # any snapshot's: all have to agree with it
    if not torch.equal(of_run[index], tasks):
        raise ZooError(f"{where} has runs whose task changes between snapshots")
