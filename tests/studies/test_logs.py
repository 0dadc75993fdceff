"""TensorBoard's files of a run."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from wsrl.studies.logs import RunLogger
from wsrl.studies.runs import Run


def log_much(logger: RunLogger) -> None:
    for step in range(1, 200):
        logger.log_metrics({"loss": 1.0}, step)
        logger.save()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_error_of_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    logger = RunLogger(Run(tmp_path / "run"))
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: .*/run/logs"):
            log_much(logger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
