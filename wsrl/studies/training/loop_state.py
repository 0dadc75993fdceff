"""Lightning's progress, shown as it must be in a checkpoint for a run to go on where it was.

What a loop does when it goes on, Lightning (2.6) infers from its counters (``update_restart_stage``
in ``training_epoch_loop.py``, ``fit_loop.py`` and ``evaluation_loop.py``). Three moments are enough
for all checkpoints of ``last.ckpt``; in each, every former step and validation is logged in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer


@contextmanager
def between_batches(trainer: Trainer) -> Iterator[None]:
    """Leave out the batch that is about to begin (``on_train_batch_start`` has counted it).

    The run goes on with that batch; a validation that was due before it is not repeated.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    counted = progress.state_dict()
    progress.total.ready -= 1
    progress.current.ready -= 1
    progress.is_last_batch = False
    try:
        yield
    finally:
        progress.load_state_dict(counted)


@contextmanager
def before_validation(trainer: Trainer) -> Iterator[None]:
    """Show a validation that is running as one that is in its first batch.

    The run then goes on with that validation, from its start: what it has measured is not kept.
    """
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    counted = progress.state_dict()
    before = progress.total.completed - progress.current.completed
    progress.load_state_dict(
        {"total": _running(before), "current": _running(0), "is_last_batch": False}
    )
    try:
        yield
    finally:
        progress.load_state_dict(counted)


@contextmanager
def at_epoch_end(trainer: Trainer) -> Iterator[None]:
    """Show a training that has ended as one at the end of its last epoch.

    With more steps allowed the run goes on from there; from the very end of one that ended by its
    ``max_steps`` Lightning would count one epoch too many.
    """
    progress = trainer.fit_loop.epoch_progress
    counted = progress.state_dict()
    progress.total.completed -= 1
    progress.current.completed -= 1
    try:
        yield
    finally:
        progress.load_state_dict(counted)


def _running(done: int) -> dict[str, int]:
    """Count so many batches as done, and one as begun."""
    return {"ready": done + 1, "started": done + 1, "processed": done, "completed": done}


def in_validation(checkpoint: dict[str, Any]) -> bool:
    """Say whether a checkpoint was made ``before_validation``.

    One without these counters was not; training does not go on from it (``TrainingStateCheck``).
    """
    try:
        total = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]
        return bool(total["started"] > total["processed"])
    except (KeyError, TypeError):
        return False
