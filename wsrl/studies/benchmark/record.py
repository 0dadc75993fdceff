"""A benchmark's folder: which grid it holds, and which of its trials are done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsrl.strict_json import read_json, to_json
from wsrl.studies.benchmark.plan import PlannedTrial, shown
from wsrl.studies.benchmark.results import (
    RECORD,
    RESULT,
    TRIALS,
    Result,
    Trial,
    read_result,
)
from wsrl.studies.benchmark.settings import BenchmarkSettings, Training, contents, find_config
from wsrl.studies.configs import read_config
from wsrl.validation import checked, from_json
from wsrl.zoos.files import checksum, remove_leftovers, write_atomically

_PATHS = ("--config", "--data.zoo", "--run", "--out", "--model.pretrained")  # what follows is one


@checked
class Common:
    """What must be the same for all trials, whichever seeds and encoders they are of."""

    size: str
    zoos: dict[str, dict[str, Any]]
    emulation: dict[str, Any]
    prediction: dict[str, Any]


@checked
class Record:
    """What ``benchmark.json`` says."""

    settings: dict[str, Any]
    common: Common
    cells: list[Trial]
    commands: dict[str, list[str]]
    configs: dict[str, Any]


def record_grid(out: Path, settings: BenchmarkSettings, trials: Sequence[PlannedTrial]) -> None:
    """Write ``benchmark.json``; a grid may grow, but not become another.

    Zoos, encoders, seeds, targets, modes, ablations and baselines may be added to a folder. How all
    are trained, the zoos that it knows and what a trial that it knows runs must stay the same, the
    config files included: means over seeds are of one thing.

    Args:
        out: the benchmark's folder; it is made.
        settings: what is compared.
        trials: its trials.

    Raises:
        ValueError: where the folder holds another grid, or something else; nothing is written.
    """
    path = out / RECORD
    remove_leftovers(out)
    commands = {p.trial.name: [_portable(words, out) for words in p.commands] for p in trials}
    configs: dict[str, Any] = {}
    for planned in trials:
        for words in planned.commands:
            configs |= contents(words)
    configs, common = json.loads(to_json([configs, _common(settings, out)]))
    known: dict[str, Any] = {"commands": {}, "configs": {}, "cells": [], "common": {"zoos": {}}}
    if path.is_file():
        try:
            known = read_json(path)
            from_json(Record, known)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is no record of a benchmark, or of another version's: {error}; choose "
                "another --out"
            ) from error
        _check_same(out, known, common, commands, configs)
    elif out.is_dir() and any(entry.name != "zoos" for entry in out.iterdir()):
        raise ValueError(f"{out} holds something that is no benchmark; choose another --out")
    trials_now = [asdict(planned.trial) for planned in trials]
    added = {trial["name"] for trial in trials_now}
    kept = [trial for trial in known["cells"] if trial["name"] not in added]
    content = {
        "settings": asdict(settings),
        "common": common | {"zoos": known["common"]["zoos"] | common["zoos"]},
        "cells": [*trials_now, *kept],
        "commands": known["commands"] | commands,
        "configs": known["configs"] | configs,
    }
    if content != known:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (to_json(content, indent=1) + "\n").encode())


def finished(out: Path, trials: Iterable[PlannedTrial]) -> dict[str, Result]:
    """Return the results of those trials that ended well, by name.

    Raises:
        ValueError: naming a result that is damaged.
    """
    paths = {planned.trial.name: out / TRIALS / planned.trial.name / RESULT for planned in trials}
    results = {name: read_result(path) for name, path in paths.items() if path.is_file()}
    return {name: result for name, result in results.items() if result.error is None}


def _common(settings: BenchmarkSettings, out: Path) -> dict[str, Any]:
    """Return what must be the same for all trials, whichever seeds and encoders they are of."""
    zoos = {}
    for name, zoo in settings.zoos.items():
        manifest = None if zoo.path is None else Path(zoo.path) / "manifest.json"
        zoos[name] = {
            "build": zoo.build and read_config(find_config(zoo.build)),
            "path": zoo.path and _placed(zoo.path, out),
            "checksum": checksum(manifest) if manifest and manifest.is_file() else None,
            "options": zoo.options,
            "emulation": zoo.emulation,
            "prediction": zoo.prediction,
        }
    return {
        "size": settings.size,
        "zoos": zoos,
        "emulation": _training(settings.emulation),
        "prediction": _training(settings.prediction),
    }


def _training(training: Training) -> dict[str, Any]:
    return {"config": read_config(find_config(training.config)), "options": training.options}


def _check_same(
    out: Path,
    known: dict[str, Any],
    common: dict[str, Any],
    commands: dict[str, list[str]],
    configs: dict[str, Any],
) -> None:
    advice = "Choose another --out, or go back to what it was"
    zoos = common["zoos"].keys() & known["common"]["zoos"].keys()
    was, is_now = (_of_zoos(ways, zoos) for ways in (known["common"], common))
    if was != is_now:
        raise ValueError(f"{out} holds another benchmark: {_difference(was, is_now)}. {advice}")
    for name in sorted(configs.keys() & known["configs"].keys()):
        if configs[name] != known["configs"][name]:
            difference = _difference(known["configs"][name], configs[name])
            raise ValueError(f"{out} was begun with another {name}: {difference}. {advice}")
    for name in sorted(commands.keys() & known["commands"].keys()):
        for before, now in zip(known["commands"][name], commands[name], strict=False):
            if before != now:
                raise ValueError(
                    f"{out} holds another benchmark. Its trial {name} ran\n  {before}\n"
                    f"and would now run\n  {now}\n{advice}"
                )


def _of_zoos(common: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {**common, "zoos": {name: common["zoos"][name] for name in names}}


def _difference(before: Any, now: Any, name: str = "") -> str:
    """Say where two settings differ first."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                inner = f"{name}.{key}" if name else str(key)
                return _difference(before.get(key), now.get(key), inner)
    return f"{name} was {before!r} and is {now!r}"


def _portable(words: Sequence[str], out: Path) -> str:
    """Write a command so that it is the same from any folder."""
    flags = ["", *words]
    placed = [_placed(w, out) if f in _PATHS else w for f, w in zip(flags, words, strict=False)]
    return shown(placed)


def _placed(path: str, out: Path) -> str:
    full, top = os.path.abspath(path), os.path.abspath(out)
    return f"OUT{full[len(top) :]}" if f"{full}/".startswith(f"{top}/") else full
