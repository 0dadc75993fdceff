"""A benchmark's folder as files, which anybody may have written; what they say is checked.

A folder holds ``benchmark.json`` (settings, trials, and how these are made), ``zoos/``, and under
``cells/`` a folder for each trial, named by the trial, with ``cell.json`` or, of one that failed,
``failure.json``. A training trial's
folder is that of a run as ``wsrl fit`` writes it, with ``test.json``, ``test.safetensors`` and, of
emulations, ``embeddings.safetensors`` in it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from wsrl.recorded import is_plain
from wsrl.strict_json import read_json, to_json
from wsrl.validation import checked, from_json, short
from wsrl.zoos.files import write_atomically

RECORD = "benchmark.json"
"""The file with a benchmark's settings and the trials that it has."""

RESULT, FAILURE = "cell.json", "failure.json"
"""The file of a trial that is done, and that of one that failed."""

TRIALS = "cells"
"""The folder of all trials."""

Kind = Literal["zoo", "emulation", "prediction", "baseline", "properties"]
KINDS: tuple[str, ...] = get_args(Kind)
"""Kinds of trials."""

_NEEDED = {
    "zoo": ("zoo",),
    "emulation": ("zoo", "encoder"),
    "prediction": ("zoo", "encoder", "target", "mode"),
    "baseline": ("zoo", "encoder", "target"),
    "properties": ("encoder",),
}
_Class = TypeVar("_Class")


def _is_folder(name: str) -> str:
    if "\0" in name or not all(part.strip(".") for part in re.split(r"[/\\]", name)):
        raise ValueError(f"expected a folder under cells/, not {short(name)}")
    return name


def _plain(value: Any) -> Any:
    if not is_plain([value]):
        raise ValueError(f"expected plain values, not {short(value)}")
    return value


def _as_long(curve: tuple[list[int], list[float]]) -> tuple[list[int], list[float]]:
    if len(curve[0]) != len(curve[1]):
        raise ValueError("a curve needs as many steps as values")
    return curve


Whole = Annotated[int, Field(ge=0, lt=2**63)]
Defined = Annotated[float, Field(allow_inf_nan=False)]
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number that JSON has as ``null`` where it is not defined."""
Curve = Annotated[tuple[list[int], list[Number]], AfterValidator(_as_long)]


@checked
class Ablation:
    """How an encoder differs from the one that it is a variant of."""

    of: str
    option: str
    value: Annotated[Any, AfterValidator(_plain)]


@checked
class Trial:
    """One piece of work of a benchmark.

    Attributes:
        name: its folder under ``cells/``, as ``languages/InteractiveProbing/seed0/task-frozen``.
        zoo: the zoo's name; empty for ``properties``.
        encoder: the name of the encoder in the benchmark, or of the baseline.
        mode: ``frozen``, ``finetune``, ``scratch`` or ``untrained``, of predictions.
        ablation: which variant the encoder is, if it is one.

    Raises:
        ValueError: where one of them is of another kind, or missing.
    """

    name: Annotated[str, AfterValidator(_is_folder)]
    kind: Kind
    zoo: str = ""
    encoder: str = ""
    seed: Whole = 0
    target: str | None = None
    mode: str | None = None
    ablation: Ablation | None = None

    def __post_init__(self) -> None:
        for name in _NEEDED[self.kind]:
            if not getattr(self, name):
                raise ValueError(f"a trial of kind {self.kind} needs {name}")


@checked
class Cost:
    """What training took.

    Attributes:
        parameters: trained ones, of encoder, emulator and head together.
        encoder_parameters: those of the encoder.
        steps: of the optimiser.
        seconds: of training, without validation and what was done again after interruptions.
        steps_per_second: the median over training.
    """

    parameters: Whole
    encoder_parameters: Whole
    steps: Whole
    seconds: Number
    steps_per_second: Number


@checked
class Result:
    """How a trial ended.

    Attributes:
        trial: the trial.
        error: why it failed; ``None`` where it did not.
        commands: what it ran, as one would type it.
        metrics: ``split/metric`` of its test; NaN where it is not defined or not finite.
        cost: of training; ``None`` where nothing was trained by steps.
        curves: by logged name, the steps and the values, thinned out.
        made_with: versions and device.
        wall_seconds: of the whole trial, when it was last begun.
        metrics_by_spec: those of the RNNs of each spec, ``{split: {spec: {metric: value}}}``, where
            the zoo has several.
    """

    trial: Trial
    error: str | None = None
    commands: tuple[str, ...] = ()
    metrics: dict[str, Number] = field(default_factory=dict)
    cost: Cost | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    wall_seconds: Defined = 0.0
    metrics_by_spec: dict[str, dict[str, dict[str, Number]]] = field(default_factory=dict)


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Check the settings of a benchmark as far as its report reads them."""
    zoos = _plain(settings).get("zoos", {})
    if not isinstance(settings.get("compare_with", ""), str | None):
        raise ValueError(f"compare_with must be text, not {short(settings['compare_with'])}")
    if not isinstance(zoos, dict) or not all(isinstance(zoo, dict) for zoo in zoos.values()):
        raise ValueError(f"zoos must be settings by name, not {short(zoos)}")
    return settings


@checked
class Record:
    """What ``benchmark.json`` says.

    Attributes:
        settings: of the benchmark.
        cells: its trials.
        fixed: what must stay as it is, by name (``wsrl.studies.benchmark.record``); ``None`` in
            the record of another version, which has a report but does not go on.
    """

    settings: Annotated[dict[str, Any], AfterValidator(_settings)]
    cells: list[Trial]
    fixed: dict[str, Any] | None = None


def write_result(folder: Path, result: Result) -> None:
    """Write a trial's result into its folder, whole or not at all, in place of an earlier one."""
    named = asdict(result)
    content = to_json({"cell": named.pop("trial"), **named}, indent=1) + "\n"
    name, other = (RESULT, FAILURE) if result.error is None else (FAILURE, RESULT)
    write_atomically(folder / name, content.encode())
    (folder / other).unlink(missing_ok=True)


def read_result(path: Path) -> Result:
    """Read a ``cell.json`` or ``failure.json``.

    Raises:
        ValueError: naming the file, where it is no such file.
    """
    try:
        found = read_json(path)
        return _known(Result, found | {"trial": found["cell"]})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is no result of a benchmark: {error}. Delete it, and its trial is run again"
        ) from error


def read_results(folder: Path) -> list[Result]:
    """Read all results of a benchmark, in the order of the trials' names.

    Raises:
        ValueError: where one of the files is damaged.
    """
    found = [*(folder / TRIALS).rglob(RESULT), *(folder / TRIALS).rglob(FAILURE)]
    return [read_result(path) for path in sorted(found)]


def read_record(folder: Path) -> Record:
    """Read the ``benchmark.json`` of a folder.

    Raises:
        ValueError: naming the file, where it is not there, or is no such file.
    """
    path = folder / RECORD
    try:
        return _known(Record, read_json(path))
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe a benchmark: {error!s}; give the folder that a benchmark "
            "was written into"
        ) from error


def _known(cls: type[_Class], content: Mapping[str, Any]) -> _Class:
    """Make a class of what a file says, without what other versions say beside."""
    names = {known.name for known in fields(cls)}  # type: ignore[arg-type]  # a checked class
    return from_json(cls, {name: content[name] for name in names & content.keys()})
