"""Remarks on the data before any work: metrics that are not defined, constant targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from wsrl.tasks.evaluation import EvaluationData
from wsrl.tasks.metrics import is_constant


class Remark(NamedTuple):
    """A remark on the data.

    Attributes:
        text: what to say, in one line.
        undefined: the logged names, ``split/metric``, of the metrics that are not defined.
    """

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
    found = (_on_target(split, name, lost, data.read_target(name, split)) for split in splits)
    return [remark for remark in found if remark]


def _on_target(split: str, name: str, lost: tuple[str, ...], target: Tensor) -> Remark | None:
    count = len(target)
    if not bool(is_constant(target).any()):
        return None
    if split == "train":
        return Remark(f"all {count} RNNs of train have the same {name}: there is nothing to learn")
    undefined = tuple(f"{split}/{metric}" for metric in lost)
    effect = f": {' and '.join(lost)} are not defined there (null)" if lost else ""
    if count > 1:
        return Remark(f"all {count} RNNs of {split} have the same {name}{effect}", undefined)
    advice = "they need 2; add RNNs to the zoo to have them"
    return Remark(f"{split} holds {count} RNN{effect}, since {advice}", undefined) if lost else None


def remarks_on_shuffling(
    data: EvaluationData, splits: Sequence[str], losses: Sequence[str]
) -> list[Remark]:
    """Say in which splits no RNN can be emulated from the embedding of another.

    Args:
        data: the data.
        splits: those that are evaluated.
        losses: names of the losses that are measured.
    """
    names = [f"shuffled_{loss}" for loss in losses]
    need = f"{' and '.join(names)} {'need' if len(names) > 1 else 'needs'} 2"
    return [
        Remark(
            f"{split} holds 1 RNN: {need}, and null stands for what is not defined; add RNNs to "
            "the zoo to have it",
            tuple(f"{split}/{name}" for name in names),
        )
        for split in splits
        if len(data.rows(split)) == 1
    ]
