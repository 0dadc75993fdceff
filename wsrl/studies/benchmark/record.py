"""Which grid a benchmark's folder holds: it may grow, but not become another."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from wsrl.strict_json import to_json
from wsrl.studies.benchmark.plan import PlannedTrial, Words, shown
from wsrl.studies.benchmark.results import RECORD, read_record
from wsrl.studies.benchmark.settings import CONFIGS, BenchmarkSettings, find_config
from wsrl.studies.configs import read_config
from wsrl.zoos import zoo_folders
from wsrl.zoos.files import checksum, remove_leftovers, write_atomically
from wsrl.zoos.manifest import MANIFEST

LOCK = "benchmark.lock"
"""The file that a command locks while it runs a benchmark."""

_PATHS = ("--config", "--data.zoo", "--run", "--out", "--model.pretrained")  # what follows is one
_ADVICE = "choose another --out, or go back to what it was"


def record_grid(out: Path, settings: BenchmarkSettings, trials: Sequence[PlannedTrial]) -> None:
    """Write ``benchmark.json`` into a folder that is locked.

    Zoos, encoders, seeds, targets, modes, ablations and baselines may be added to a folder. How all
    are trained, the zoos that it knows and what a trial that it knows runs must stay the same, the
    config files included: means over seeds are of one thing.

    Raises:
        ValueError: where the folder holds another grid, or something else; nothing is written.
    """
    remove_leftovers(out)
    fixed = json.loads(to_json(_fixed(settings, trials, out)))
    known: dict[str, Any] = {}
    kept = []
    if (out / RECORD).is_file():
        record = read_record(out)
        if record.fixed is None:
            raise ValueError(f"{out} holds a benchmark of another version; {_ADVICE}")
        known, kept = record.fixed, record.cells
    elif any(entry.name not in ("zoos", LOCK) for entry in out.iterdir()):
        raise ValueError(f"{out} holds something that is no benchmark; {_ADVICE}")
    for name, now in fixed.items():
        if name in known and now != known[name]:
            difference = _difference(known[name], now, name)
            raise ValueError(f"{out} holds another benchmark: {difference}; {_ADVICE}")
    cells = {trial.name: trial for trial in (*(p.trial for p in trials), *kept)}
    content = {
        "settings": asdict(settings),
        "cells": [asdict(trial) for trial in cells.values()],
        "fixed": known | fixed,
    }
    write_atomically(out / RECORD, (to_json(content, indent=1) + "\n").encode())


def _fixed(
    settings: BenchmarkSettings, trials: Sequence[PlannedTrial], out: Path
) -> dict[str, Any]:
    """Return what must stay as it is, by name, the reasons of differences first."""
    fixed: dict[str, Any] = {"size": settings.size}
    for what, training in {
        "emulation": settings.emulation,
        "prediction": settings.prediction,
    }.items():
        fixed[f"{what}.config"] = read_config(find_config(training.config))
        fixed[f"{what}.options"] = training.options
    for name, zoo in settings.zoos.items():
        fixed[f"zoos.{name}"] = {
            "build": zoo.build and read_config(find_config(zoo.build)),
            "path": zoo.path and _placed(zoo.path, out),
            "checksum": zoo.path and _checksum(zoo.path),
            "options": zoo.options,
            "emulation": zoo.emulation,
            "prediction": zoo.prediction,
        }
    commands = [(planned.trial.name, words) for planned in trials for words in planned.commands]
    pairs = [pair for _, words in commands for pair in pairwise(words)]
    for file in sorted({after for word, after in pairs if word == "--config"}):
        name = os.path.abspath(file).replace(str(CONFIGS), "configs")
        fixed[name] = read_config(file)
    for name, words in commands:
        fixed[f"{name} {words[0]}"] = _portable(words, out)
    return fixed


def _difference(before: Any, now: Any, name: str) -> str:
    """Say where two settings differ first."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), f"{name}.{key}")
    return f"{name} was {before!r} and is {now!r}"


def _portable(words: Words, out: Path) -> str:
    """Write a command so that it is the same from any folder."""
    placed = [_placed(after, out) if word in _PATHS else after for word, after in pairwise(words)]
    return shown([words[0], *placed])


def _checksum(path: str | list[str]) -> str | list[str] | None:
    """Return what tells a zoo from others, or several zoos."""
    manifests = [folder / MANIFEST for folder in zoo_folders(path)]
    sums = [checksum(manifest) for manifest in manifests if manifest.is_file()]
    return sums if len(manifests) > 1 else next(iter(sums), None)


def _placed(path: str | list[str], out: Path) -> str:
    if isinstance(path, str) and path.startswith("["):  # several zoos, as a command has them
        path = list(json.loads(path))
    if not isinstance(path, str):
        return to_json([_placed(each, out) for each in path])
    full, top = os.path.abspath(path), os.path.abspath(out)
    return f"OUT{full[len(top) :]}" if f"{full}/".startswith(f"{top}/") else full
