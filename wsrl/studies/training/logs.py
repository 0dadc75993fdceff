"""TensorBoard's curves of a run, without a doubled or a missing step when it goes on."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from wsrl.safe_files import naming
from wsrl.studies.training.runs import Run

_SUFFIX = ".fit"  # ends the names of the files that hold a run's curves


class RunLogger(TensorBoardLogger):
    """Writes a run's curves into its folder.

    Each process that trains writes a file of its own. A checkpoint holds how long each file was
    when it was made; a run that goes on cuts off what was written afterwards, since it will write
    the same again. (A ``purge_step`` would leave it to each reader of the files to leave that out.)

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run.folder, name=run.logs.name, version="", filename_suffix=_SUFFIX)
        self._goes_on = False

    def lengths(self) -> dict[str, int]:
        """Write all that was logged to the disk; return the bytes of each file, by name."""
        self.save()
        for path in self._files():
            with naming(path), path.open("rb") as file:
                os.fsync(file.fileno())
        return {path.name: path.stat().st_size for path in self._files()}

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Go back to what was there when a checkpoint was made.

        Args:
            lengths: as ``lengths`` returned them then.
        """
        for path in self._files():
            length = lengths.get(path.name, 0)
            if length == 0:
                path.unlink()
            elif path.stat().st_size > length:
                os.truncate(path, length)
        self._goes_on = any(self._files())

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
        """Have all that was logged written; the error of a full disk names the file."""
        with self._named():
            super().save()

    def finalize(self, status: str) -> None:
        """Close the file; the error of a full disk names it."""
        with self._named():
            super().finalize(status)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in the error of the thread that writes it, which does not."""
        try:
            yield
        except (OSError, ValueError) as error:
            # Lightning takes any error of the writer for one of the value that was logged.
            reason = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(reason, OSError):
                raise
            with naming(max(self._files(), default=Path(self.log_dir))):
                raise reason from None

    def _files(self) -> list[Path]:
        found = Path(self.log_dir).glob(f"events.out.tfevents.*{_SUFFIX}")
        return sorted(path for path in found if path.is_file())  # no pipe, which would never end
