"""What other libraries say at length or for nothing, made short or left out."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wsrl.studies.configs import Config

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
        warnings.simplefilter("ignore", DeprecationWarning)  # for developers of other libraries
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def explain(message: str, configs: Sequence[Config] = ()) -> str:
    """Say in short what jsonargparse says at length, with the choices for an unknown name.

    Args:
        message: of its exception.
        configs: the config files that were read; the last one with the setting is named.
    """
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    found = _in_short(message, key)
    unknown = re.match(r"Option '(\w+)' is not accepted", message)
    setting = key or (unknown[1] if unknown else "")
    files = [config.path for config in configs if setting and config.holds(setting)]
    return f"{found} (in {files[-1]})" if files else found


def _in_short(message: str, key: str) -> str:
    from wsrl.encoders import get_encoder, list_encoders  # takes seconds, for errors alone
    from wsrl.recorded import option_names
    from wsrl.tasks import TaskModule

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
