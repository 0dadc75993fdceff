"""What a trial of a benchmark leaves behind for the report: one JSON file in its folder.

A benchmark's folder holds ``benchmark.json`` (its settings and the trials it has), ``zoos/``, and
under ``cells/`` a folder for each trial, named by the trial. A training trial's folder is that of a
run as ``wsrl fit`` writes it, with ``test.json``, ``test.safetensors`` and, of emulations,
``embeddings.safetensors`` in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from wsrl.strict_json import numbers, read_json, to_json
from wsrl.studies.benchmark.result_checks import check_numbers, check_result, check_trial
from wsrl.zoos.files import write_atomically

RECORD = "benchmark.json"
"""The file with a benchmark's settings and the trials that it has."""

RESULT = "cell.json"
"""The file that says how a trial ended."""

TRIALS = "cells"
"""The folder of all trials."""


@dataclass(frozen=True)
class Ablation:
    """How an encoder differs from the one that it is a variant of."""

    of: str
    option: str
    value: Any


@dataclass(frozen=True)
class Trial:
    """One piece of work of a benchmark.

    Attributes:
        name: its folder under ``cells/``, as ``languages/InteractiveProbing/seed0/task-frozen``.
        kind: one of ``result_checks.KINDS``.
        zoo: the zoo's name; empty for ``properties``.
        encoder: the name of the encoder in the benchmark, or of the baseline.
        seed: of training.
        target: what is predicted, if anything.
        mode: ``frozen``, ``finetune``, ``scratch`` or ``untrained``, of predictions.
        ablation: which variant the encoder is, if it is one.
    """

    name: str
    kind: str
    zoo: str = ""
    encoder: str = ""
    seed: int = 0
    target: str | None = None
    mode: str | None = None
    ablation: Ablation | None = None


@dataclass(frozen=True)
class Cost:
    """What training a trial took.

    Attributes:
        parameters: trained ones, of encoder, emulator and head together.
        encoder_parameters: those of the encoder.
        steps: of the optimiser.
        seconds: of training, without validation and what was done again after interruptions.
        steps_per_second: the median over training.
    """

    parameters: int
    encoder_parameters: int
    steps: int
    seconds: float
    steps_per_second: float


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        trial: the trial.
        error: why it failed; ``None`` where it did not.
        commands: what it ran, as one would type it.
        metrics: ``split/metric`` of its test; NaN, ``null`` in the file, where it is not defined or
            not finite.
        cost: of training; ``None`` where nothing was trained by steps.
        curves: by logged name, the steps and the values ``[[...], [...]]``, thinned out.
        made_with: versions and device.
        wall_seconds: of the whole trial, when it was last begun.
    """

    trial: Trial
    error: str | None = None
    commands: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    curves: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    wall_seconds: float = 0.0


def write_result(folder: Path, result: Result) -> None:
    """Write a trial's result into its folder, whole or not at all."""
    named = asdict(result)
    content = to_json({"cell": named.pop("trial"), **named}, indent=1) + "\n"
    write_atomically(folder / RESULT, content.encode())


def read_result(path: Path) -> Result:
    """Read a ``cell.json``.

    Raises:
        ValueError: naming the file, where it is no such file.
    """
    try:
        found = read_json(path)
        known = {f.name for f in fields(Result)} - {"trial", "cost"}
        rest = {name: value for name, value in found.items() if name in known}
        check_result(rest)
        # Not left out: a run that diverged would no longer count.
        rest["metrics"] = numbers(found.get("metrics", {}))
        cost = found["cost"]
        if cost is not None:
            check_numbers("cost", cost)
        rest["curves"] = {name: (x, _numbers(y)) for name, (x, y) in found["curves"].items()}
        rest["commands"] = tuple(found["commands"])
        return Result(trial=read_trial(found["cell"]), cost=cost and Cost(**cost), **rest)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no result of a benchmark: {error}. Delete it, and its trial is run again"
        ) from error


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def read_trial(content: Mapping[str, Any]) -> Trial:
    """Read a trial from plain values, as ``dataclasses.asdict`` makes them.

    Raises:
        TypeError: where they are no trial's.
        ValueError: where one of them is of another kind.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{content!r:.100} is no trial")
    ablation = content.get("ablation")
    trial = Trial(**{**content, "ablation": None if ablation is None else Ablation(**ablation)})
    check_trial(trial)
    return trial


def read_results(folder: Path) -> list[Result]:
    """Read all results of a benchmark, in the order of the trials' names.

    Raises:
        ValueError: where one of the files is damaged.
    """
    return [read_result(path) for path in sorted((folder / TRIALS).rglob(RESULT))]
