"""Training that ends between two steps when it is told to, and goes on from there."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from wsrl.stopping import StopRequests, is_launched
from wsrl.studies.training.divergence import DivergedError
from wsrl.studies.training.logs import RunLogger
from wsrl.studies.training.loop_state import (
    at_epoch_end,
    before_validation,
    between_batches,
    in_validation,
)
from wsrl.studies.training.processes import (
    Agreement,
    end_children,
    leave_signals_alone,
    requeue,
    requeues,
)
from wsrl.terminal import complain


class Stopped(SystemExit):
    """Training ended because it was told to; the status is the one by which shells report it.

    Args:
        number: the signal.
        step: optimiser steps that were made.
        saved: whether there is a checkpoint of that step.
    """

    def __init__(self, number: int, step: int, saved: bool) -> None:
        super().__init__(0 if is_launched() else 128 + number)
        self.signal = signal.Signals(number)
        self.step, self.saved = step, saved


@contextmanager
def ended_together(trainer: Trainer, stop: StopRequests, folder: Path) -> Iterator[None]:
    """Leave no process behind, and say how a run that was told to stop goes on.

    Args:
        trainer: does the work.
        stop: notes the signals to this process.
        folder: of the run.

    Raises:
        SystemExit: when the run was told to stop, or ``stop`` ended it before its first step.
        KeyboardInterrupt: when it was interrupted before its first step, or twice.
    """
    leave_signals_alone(trainer)
    try:
        yield
    except Stopped as end:
        if trainer.is_global_zero:
            further = f"go on with `wsrl fit --run {folder} --ckpt_path last`"
            _say(end.signal, f"at step {end.step}; {further if end.saved else 'nothing is saved'}")
        end_children(trainer, patience=20)
        raise
    except DivergedError as error:  # all processes end by it, at the same step
        end_children(trainer, patience=20)
        if is_launched():
            raise SystemExit(0) from error
        raise
    except BaseException as error:
        end_children(trainer, patience=0)
        if stop.at_once and stop.signal is not None:  # the reason, whatever else failed by it
            if stop.signal is not signal.SIGINT:
                _say(stop.signal, "with nothing to save")
            stop.raise_if_any()
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None  # Lightning makes it a status of 1
        raise


def _say(number: signal.Signals, where: str) -> None:
    complain(f"wsrl: {number.name}: stopped {where}")


class LastCheckpoint(Callback):
    """Keeps ``last.ckpt``, and ends training by agreement of all processes.

    It saves after every validation and epoch, before the first validation, when some minutes have
    passed, and when any process was told to stop: always between two steps, when the former one is
    logged in full, or as before a validation that is running. Nothing is saved in the middle of a
    step, so an exception there leaves the last whole checkpoint. ``EndCheckpoint`` has it save the
    end.

    Args:
        path: the file; ``None`` to end when told to without saving.
        minutes: between two checkpoints at most.
        stop: notes the signals to this process.
        step: that this process goes on from.
        check: raises where the run is not this process's to write any more.

    Raises:
        ValueError: for a number of minutes below 0.
    """

    def __init__(
        self,
        path: Path | None,
        minutes: float,
        stop: StopRequests,
        step: int,
        check: Callable[[], None],
    ) -> None:
        if not minutes >= 0:
            raise ValueError(f"checkpoint_minutes must be at least 0, not {minutes}")
        self._path = path
        self._seconds = 60 * minutes
        self._stop = stop
        self._step = step
        self._check = check
        self._logs: dict[str, int] | None = None
        self._agreement: Agreement | None = None
        self._due = False
        self._saved = time.monotonic()
        self._validation_batches: list[int] = []
        self._resumed = False
        self._max_steps: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Meet the other processes.

        Raises:
            ValueError: where they do not go on from the same step.
        """
        self._agreement = Agreement()
        first, last = (
            ask([self._step])[0] for ask in (self._agreement.smallest, self._agreement.largest)
        )
        if first != last:
            raise ValueError(
                f"the processes do not see the same run: this one goes on from step {self._step}, "
                f"others from {first} to {last}; its folder must be on a disk that all share"
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Have all curves on the disk before any checkpoint, and note how long their files are."""
        if self._logs is not None:  # of curves that are not drawn on for now
            checkpoint["logs"] = self._logs
        for logger in trainer.loggers:
            logger.save()
            if isinstance(logger, RunLogger) and trainer.is_global_zero:
                checkpoint["logs"] = logger.lengths()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Prepare to go on; with the last validation, where that is all that is missing."""
        self._resumed = True
        self._logs = checkpoint.get("logs")
        loop = trainer.fit_loop.epoch_loop
        if in_validation(checkpoint) and 0 <= loop.max_steps <= checkpoint["global_step"]:
            self._max_steps = loop.max_steps
            loop.max_steps += 1  # else Lightning would not even begin; never trained, see below

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there are steps to end between."""
        self._stop.at_once = False
        self._saved = time.monotonic()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop if it is time to; not while gradients are being accumulated."""
        if self._resumed and pl_module.automatic_optimization:
            # The step that curves are drawn over: Lightning counts one too many after a validation.
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        self._resumed = False
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._save_or_stop(trainer, between_batches)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out how many batches every process has: only in these can all be asked."""
        if not trainer.sanity_checking:
            assert self._agreement is not None
            own = [int(count) for count in trainer.num_val_batches]
            self._validation_batches = self._agreement.smallest(own)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save and stop if it is time to."""
        if trainer.sanity_checking or batch_idx >= self._validation_batches[dataloader_idx]:
            return
        # Before the first one there may be no checkpoint yet, and the best alone is not enough.
        first = batch_idx == dataloader_idx == 0
        self._due |= first and self._path is not None and not self._path.exists()
        if not trainer.fit_loop._should_accumulate():
            self._save_or_stop(trainer, before_validation)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what was measured, as soon as the next step begins."""
        self._due = not trainer.sanity_checking
        if self._max_steps is not None:
            trainer.fit_loop.epoch_loop.max_steps = self._max_steps
            self._max_steps = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save as soon as the next epoch begins."""
        self._due = True

    def save_end(self, trainer: Trainer) -> None:
        """Save the end of training: a run that goes on from here has nothing left to do."""
        self._save(trainer, at_epoch_end)

    def _save_or_stop(
        self, trainer: Trainer, moment: Callable[[Trainer], AbstractContextManager[None]]
    ) -> None:
        assert self._agreement is not None
        due = self._due or time.monotonic() - self._saved >= self._seconds
        told, due_somewhere = self._agreement.largest([self._stop.signal or 0, due])
        if told or due_somewhere:
            self._save(trainer, moment)
        if told:
            if told == signal.SIGUSR1 and trainer.is_global_zero and requeues(trainer):
                requeue()
            raise Stopped(told, trainer.global_step, self._saves(trainer))

    def _save(
        self, trainer: Trainer, moment: Callable[[Trainer], AbstractContextManager[None]]
    ) -> None:
        if self._path is not None and self._saves(trainer):
            self._check()
            with moment(trainer):
                trainer.save_checkpoint(self._path, False)  # the optimiser's state as well
        self._due, self._saved = False, time.monotonic()

    def _saves(self, trainer: Trainer) -> bool:
        return self._path is not None and not trainer.fast_dev_run  # type: ignore[attr-defined]


class EndCheckpoint(Checkpoint):
    """Saves the end of training, after all that other callbacks do then.

    Lightning calls checkpoint callbacks last. A run that is killed before goes on from an earlier
    checkpoint, so that what belongs to its end, as figures, is made.

    Args:
        last: keeps the checkpoint.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self._last = last

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        self._last.save_end(trainer)
