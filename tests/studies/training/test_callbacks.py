"""What callbacks keep of a run, and what they take from a checkpoint that may be anybody's."""

import resource
from pathlib import Path

import pytest
import torch

from wsrl.studies.training.callbacks import BestCheckpoint, RunLogger
from wsrl.studies.training.runs import Run


def log_much(logger: RunLogger, first: int) -> None:
    for step in range(first, 1000):
        logger.log_metrics({"loss": 1.0}, step)
        logger.save()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_value_that_cannot_be_drawn_is_told_from_a_full_disk(tmp_path: Path) -> None:
    logger = RunLogger(Run(tmp_path / "run"))
    with pytest.raises(ValueError, match="not supported"):
        logger.log_metrics({"loss": object()}, 0)  # type: ignore[dict-item]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        for step in range(2):
            with pytest.raises(OSError, match="File too large"):
                log_much(logger, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_best_score_is_a_number_and_taken_where_the_checkpoint_is(tmp_path: Path) -> None:
    """Lightning deletes the former best checkpoint wherever a checkpoint says that it lies."""
    callback = BestCheckpoint(tmp_path, "loss")
    best, half = tmp_path / "best.ckpt", torch.tensor(0.5)
    for score in (half, torch.zeros(2), "0.5", None, half):
        assert not callback.best_k_models
        callback.load_state_dict({"best_model_score": score, "best_k_models": {"/x": score}})
        best.touch()  # there from the second one on
    assert callback.best_k_models == {str(best): half}
    assert (callback.best_model_score, callback.best_model_path) == (half, str(best))
