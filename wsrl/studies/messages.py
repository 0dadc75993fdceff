"""What other libraries say at length or for nothing, made short or left out."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from wsrl.encoders import get_encoder, list_encoders
from wsrl.encoders.base import option_names
from wsrl.tasks import TaskModule

_EXPECTED_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",  # torch, of Lightning
    ".*does not have many workers",  # batches are read at once, without workers
    "Checkpoint directory .* exists and is not empty",  # when a run goes on
    "The dirpath has changed",  # it was moved
    "Be aware that when using `ckpt_path`, callbacks",  # evaluation needs none of them
    r"Found \d+ module\(s\) in eval mode",  # a frozen encoder
    ".*method of metric MeanMetric was called before",  # a mean of nothing is NaN, and said
    ".*could not find the monitored key",  # goes on from the very end of an epoch
)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings that are expected, and advertisements."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def note(lines: Iterable[str]) -> None:
    """Point things out, a line each."""
    for line in lines:
        print(f"note: {line}", file=sys.stderr)


def explain(message: str) -> str:
    """Say in short what jsonargparse says at length, with the choices for an unknown name."""
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if unknown and key.endswith("encoder"):
        choices = ", ".join(list_encoders())
        return f"unknown encoder {unknown[1]!r}; choose one of {choices}, or give a class path"
    if unknown and key == "model":
        choices = ", ".join(sorted(task.__name__ for task in TaskModule.__subclasses__()))
        return f"unknown model {unknown[1]!r}; choose one of {choices}, or give a class path"
    refused = re.search(r"Option '(\w+)' is not accepted", message)
    encoder = re.search(r"class_path='[\w.]*?(\w+)'", message)
    if refused and encoder and key.endswith("encoder") and encoder[1] in list_encoders():
        choices = ", ".join(option_names(get_encoder(encoder[1])))
        return f"{encoder[1]} has no option {refused[1]!r}; it has: {choices}"
    if not key:
        return message
    last = message.strip().splitlines()[-1].strip().split(". Got value: Namespace")[0]
    either = re.findall(r"- (Expected an? .+)", message)  # of several types, None the last
    return f"{key}: {either[0]}. {last}" if either else f"{key}: {last}"


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip: For seamless cloud" not in record.getMessage()
