"""Remarks on the data before any work: metrics that are not defined, constant targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wsrl.tasks.evaluation import EvaluationData
from wsrl.tasks.metrics import is_constant


class Remark(NamedTuple):
    """A line on the data, and the logged names, ``split/metric``, of what is not defined."""

    text: str
    undefined: tuple[str, ...] = ()


def remarks_on_target(
    data: EvaluationData, splits: Sequence[str], name: str, lost: tuple[str, ...]
) -> list[Remark]:
    """Say where a property that is predicted is the same of all RNNs.

    Args:
        data: the data.
        splits: those to look at; ``train`` among them where something is to be learned.
        name: of the property.
        lost: metrics that are not defined where all RNNs have the same value.
    """
    found = []
    effect = f": {' and '.join(lost)} are not defined there (null)" if lost else ""
    for split in splits:
        target = data.read_target(name, split)
        if not bool(is_constant(target).any()):
            continue
        text = f"all {len(target)} RNNs of {split} have the same {name}"
        undefined = tuple(f"{split}/{metric}" for metric in lost)
        if split == "train":
            found.append(Remark(f"{text}: there is nothing to learn"))
        elif len(target) > 1:
            found.append(Remark(f"{text}{effect}", undefined))
        elif lost:
            advice = "since they need 2; add RNNs to the zoo to have them"
            found.append(Remark(f"{split} holds 1 RNN{effect}, {advice}", undefined))
    return found


def remarks_on_shuffling(
    data: EvaluationData, splits: Sequence[str], losses: Sequence[str]
) -> list[Remark]:
    """Say in which splits, of one RNN, none can be emulated from the embedding of another."""
    names = [f"shuffled_{loss}" for loss in losses]
    lost = f"holds 1 RNN: {' and '.join(names)} {'need' if len(names) > 1 else 'needs'} 2"
    return [
        Remark(
            f"{split} {lost}, and null stands for what is not defined; add RNNs to the zoo to have "
            "it",
            tuple(f"{split}/{name}" for name in names),
        )
        for split in splits
        if len(data.rows(split)) == 1
    ]
