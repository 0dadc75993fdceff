"""Warnings and advertisements of other libraries that say nothing to who trains."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_EXPECTED_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",  # torch, of Lightning
    ".*does not have many workers",  # batches are read at once, without workers
    "Checkpoint directory .* exists and is not empty",  # when a run goes on
    "The dirpath has changed",  # it was moved
    "Be aware that when using `ckpt_path`, callbacks",  # evaluation needs none of them
    r"Found \d+ module\(s\) in eval mode",  # a frozen encoder
    ".*method of metric MeanMetric was called before",  # a mean of nothing is NaN, and said
)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings that are expected, and advertisements."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for developers of other libraries
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()
