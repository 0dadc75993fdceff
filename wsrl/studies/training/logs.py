"""TensorBoard's curves of a run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from wsrl.safe_files import naming
from wsrl.studies.training.runs import Run


class RunLogger(TensorBoardLogger):
    """Writes a run's curves into its folder.

    Each process that trains writes a file of its own. A run that goes on tells readers of the files
    to leave out what was logged after its checkpoint, since it will log the same again.

    Args:
        run: the run.
        step: optimiser steps of the checkpoint that the run goes on from; 0 for none.
    """

    def __init__(self, run: Run, step: int = 0) -> None:
        super().__init__(run.folder, run.logs.name, "", filename_suffix=".fit", purge_step=step)
        self._goes_on = step > 0

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Log hyper-parameters once; a run that goes on has them already."""
        if not self._goes_on:
            with self._named():
                super().log_hyperparams(params, metrics, step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; the error of a full disk names the file."""
        with self._named():
            super().log_metrics(metrics, step)

    def save(self) -> None:
        """Write all that was logged; the error of a full disk names the file."""
        with self._named():
            super().save()

    def finalize(self, status: str) -> None:
        """Close the file; the error of a full disk names it."""
        with self._named():
            super().finalize(status)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in errors of the thread that writes it."""
        try:
            yield
        except (OSError, ValueError) as error:
            # Lightning takes any error of the writer for one of the value that was logged.
            reason = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(reason, OSError):
                raise
            with naming(max(Path(self.log_dir).glob("events.*"), default=Path(self.log_dir))):
                raise reason from None
