"""Training that ends between two steps when it is told to, and goes on from there.

Checkpoints are made at two moments, from both of which Lightning goes on exactly: at the end of a
batch that no validation follows, and at the end of a validation. Of a validation that is
interrupted, the checkpoint says that it has just begun.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from wsrl.stopping import StopRequests, is_launched
from wsrl.studies.training.divergence import DivergedError
from wsrl.studies.training.processes import largest, requeue
from wsrl.terminal import complain


class Stopped(SystemExit):
    """A signal ended training at a step; ``saved`` is that of the last checkpoint, if any."""

    def __init__(self, number: int, step: int, saved: int | None) -> None:
        super().__init__(0 if is_launched() else 128 + number)
        self.signal = signal.Signals(number)
        self.step, self.saved = step, saved


@contextmanager
def reported(trainer: Trainer, stop: StopRequests, folder: Path, requeued: bool) -> Iterator[None]:
    """Say how a run that was told to stop goes on, and keep what ended it as the reason.

    A process that another one started ends well after an agreed end: Lightning kills all processes
    as soon as one of them does not. A job that is ``requeued`` is queued again when it is warned.
    """
    try:
        yield
    except Stopped as end:
        if trainer.is_global_zero:
            if end.signal == signal.SIGUSR1 and requeued:
                requeue()
            since = "" if end.saved == end.step else f" from step {end.saved}"
            further = f"go on{since} with `wsrl fit --run {folder} --ckpt_path last`"
            further = "nothing is saved" if end.saved is None else further
            complain(f"wsrl: {end.signal.name}: stopped at step {end.step}; {further}")
        raise
    except DivergedError as error:  # all processes end by it, at the same step
        if is_launched():
            raise SystemExit(0) from error
        raise
    except BaseException as error:
        if stop.at_once and stop.signal is not None:  # the reason, whatever else failed by it
            if stop.signal is not signal.SIGINT:
                complain(f"wsrl: {stop.signal.name}: stopped with nothing to save")
            stop.raise_if_any()
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None  # Lightning makes it a status of 1
        raise


class OwnSignals(Callback):
    """Puts the command's signal handlers back, after Lightning has installed its own.

    Lightning's handler speaks to the other processes from within the handler, which hangs where
    these do something else at that moment.
    """

    def __init__(self, stop: StopRequests) -> None:
        self._stop = stop

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install them; whichever hook comes first."""
        self._stop.install()

    on_train_start = on_validation_start = on_sanity_check_start
    on_test_start = on_predict_start = on_sanity_check_start


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt``, and ends training by agreement of all processes.

    It saves after every validation, at the end of training, and between two steps when some minutes
    have passed, when an epoch ended, and when any process was told to stop. It must be the last of
    the callbacks, so that it saves what the others kept. Lightning logs a step after its callbacks:
    a checkpoint lies beside ``last.ckpt`` until that is done, and then replaces it.

    Without a ``path`` it ends when told to and saves nothing. This process goes on from ``step``.
    """

    def __init__(self, path: Path | None, minutes: float, stop: StopRequests, step: int) -> None:
        if not minutes >= 0:
            raise ValueError(f"checkpoint_minutes must be at least 0, not {minutes}")
        self._path, self._seconds, self._stop = path, 60 * minutes, stop
        self._first = step
        self._step_saved: int | None = step or None
        self._due = self._validating = self._unpublished = False
        self._between_steps = True
        self._told = 0
        self._saved = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse processes that do not go on from the same step."""
        last, negative = largest(trainer, [self._first, -self._first])
        if last != -negative:
            raise ValueError(
                f"the processes do not see the same run: this one goes on from step {self._first}, "
                f"others from {-negative} to {last}; its folder must be on a disk that all share"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there are steps to end between."""
        self._stop.at_once = False
        self._saved = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Stop, if that was agreed, when the last step is saved and logged."""
        self._publish(trainer)
        if self._told and (self._path is None or self._step_saved == trainer.global_step):
            self._end(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time to; not while gradients are being accumulated."""
        accumulated = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        self._between_steps = accumulated or trainer.is_last_batch
        self._agree(trainer)
        wanted = self._due or self._told or _is_over(trainer)
        if wanted and self._between_steps and not _may_validate(trainer, batch_idx):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the next step, where no validation has saved this one."""
        self._due |= self._step_saved != trainer.global_step

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Stop if it is time to; all processes have the same number of batches."""
        if not trainer.sanity_checking:
            self._agree(trainer)
            if self._told:
                self._validating = True
                if self._between_steps and not _is_over(trainer):
                    self._save(trainer)
                    self._publish(trainer)
                self._end(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a validation."""
        if not trainer.sanity_checking and self._between_steps:
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Have a validation that is interrupted made again from its start.

        Lightning goes on with a validation whose next batch has started; what it measured before is
        in no checkpoint, so that must be the first one.
        """
        if self._validating:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            before = progress["total"]["completed"] - progress["current"]["completed"]
            for counts, done in ((progress["total"], before), (progress["current"], 0)):
                counts.update(ready=done + 1, started=done + 1, processed=done, completed=done)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where nothing before knew that training would end."""
        if self._step_saved != trainer.global_step:
            self._save(trainer)
        self._publish(trainer)

    def _agree(self, trainer: Trainer) -> None:
        due = self._due or time.monotonic() - self._saved >= self._seconds
        self._told, due_somewhere = largest(trainer, [self._stop.signal or 0, due])
        self._due = bool(due_somewhere)

    def _save(self, trainer: Trainer) -> None:
        if self._path is None:
            return
        trainer.save_checkpoint(self._path.with_suffix(".new"))
        self._step_saved, self._unpublished = trainer.global_step, True
        self._due, self._saved = False, time.monotonic()

    def _publish(self, trainer: Trainer) -> None:
        if self._unpublished and self._path is not None and trainer.is_global_zero:
            os.replace(self._path.with_suffix(".new"), self._path)
        self._unpublished = False

    def _end(self, trainer: Trainer) -> None:
        saved = None if self._path is None else self._step_saved
        raise Stopped(self._told, trainer.global_step, saved)


def _is_over(trainer: Trainer) -> bool:
    """Say whether training ends with this batch, as far as is known while it ends."""
    steps, epochs = trainer.global_step, trainer.current_epoch + trainer.is_last_batch
    enough = steps >= (trainer.min_steps or 0) and epochs >= (trainer.min_epochs or 0)
    last_step = 0 <= trainer.max_steps <= steps
    last_epoch = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
    return (trainer.should_stop and enough) or last_step or last_epoch


def _may_validate(trainer: Trainer, batch_idx: int) -> bool:
    """Say whether a validation may follow a batch: Lightning would leave it out after a restart."""
    if not trainer.enable_validation:
        return False
    if trainer.is_last_batch or trainer.should_stop:
        return True
    every, whole_run = trainer.val_check_batch, trainer.fit_loop.total_batch_idx
    return isinstance(every, int) and any((n + 1) % every == 0 for n in (batch_idx, whole_run))
