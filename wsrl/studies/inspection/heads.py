"""Prediction runs whose head reads the embeddings of one encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from wsrl.class_paths import class_path
from wsrl.encoders import Encoder
from wsrl.problems import Target
from wsrl.studies.inspection.sources import find_checkpoint, load_module
from wsrl.studies.training.checkpoints import CheckpointRecord
from wsrl.studies.training.runs import Run
from wsrl.tasks import PredictionModule


class Head:
    """A prediction run.

    Attributes:
        path: its checkpoint.
        record: its settings.
        module: what it trained.
    """

    def __init__(self, path: Path) -> None:
        """Read a run.

        Raises:
            ValueError: for a checkpoint that is damaged, or of another task.
        """
        self.path, self.record = path, CheckpointRecord.read(path)
        if self.record.class_path != class_path(PredictionModule):
            kind = self.record.class_path.rpartition(".")[2]
            raise ValueError(f"{path} is of a {kind}; --predict takes runs of a PredictionModule")
        self.module = load_module(PredictionModule, path)

    def check(self, encoder: Encoder, of: Path, targets: dict[str, Target]) -> None:
        """Check that the head reads this very encoder's embeddings, and predicts what the zoo has.

        Raises:
            ValueError: naming both checkpoints, or the target.
        """
        if not _equal(self.module.encoder, encoder):
            origin = self.record.pretrained or "random weights"
            raise ValueError(
                f"{self.path} predicts from another encoder (from {origin}, mode "
                f"{self.module.mode}) than that in {of}; --predict takes runs with "
                f"--model.pretrained {of} and --model.mode frozen"
            )
        target = targets.get(self.module.target)
        held = (self.module.kind.parts, self.module.kind.classes)
        if target is None or held != (target.parts, len(target.values)):
            raise ValueError(
                f"{self.path} predicts {self.module.target!r}, which the zoo does not have; it "
                f"has {', '.join(targets)}"
            )


def find_heads(
    given: Sequence[str | Path], checkpoint: Path, encoder: Encoder, targets: dict[str, Target]
) -> list[Head]:
    """Read the prediction runs that are given, and find those beside the encoder's run.

    Those found are runs in folders beside it, trained on its encoder as it is in the checkpoint.
    One that is given counts more, and else the first by name.

    Raises:
        ValueError: for a run given that does not predict from this encoder, or two for one target.
    """
    heads: dict[str, Head] = {}
    for run in given:
        head = Head(find_checkpoint(run))
        head.check(encoder, checkpoint, targets)
        if (other := heads.setdefault(head.module.target, head)) is not head:
            raise ValueError(
                f"{other.path} and {head.path} both predict {head.module.target!r}; give one"
            )
    for path in _beside(checkpoint):
        try:
            head = Head(path)
            head.check(encoder, checkpoint, targets)
        except (ValueError, OSError):  # another encoder's, or damaged: nobody asked for it
            continue
        heads.setdefault(head.module.target, head)
    return list(heads.values())


def _beside(checkpoint: Path) -> Iterable[Path]:
    """Return the best checkpoints of the runs beside a checkpoint's."""
    own = Run.of_checkpoint(checkpoint.resolve()).folder
    return sorted(
        path
        for path in own.parent.glob("*/checkpoints/best.ckpt")
        if path.is_file() and path.parent.parent != own
    )


def _equal(one: Encoder, other: Encoder) -> bool:
    """Whether two encoders are the same function: options and weights."""
    mine, theirs = one.state_dict(), other.state_dict()
    return (
        one.config() == other.config()
        and mine.keys() == theirs.keys()
        and all(torch.equal(mine[name], theirs[name]) for name in mine)
    )
