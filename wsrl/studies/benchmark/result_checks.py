"""What results and records say, checked when they are read: they may be from anybody."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsrl.recorded import is_plain
from wsrl.validation import check_arguments

if TYPE_CHECKING:
    from wsrl.studies.benchmark.results import Trial

KINDS = ("zoo", "emulation", "prediction", "baseline", "properties")
"""Kinds of trials."""

_NEEDED = {
    "zoo": ("zoo",),
    "emulation": ("zoo", "encoder"),
    "prediction": ("zoo", "encoder", "target", "mode"),
    "baseline": ("zoo", "encoder", "target"),
    "properties": ("encoder",),
}
_LARGEST = 2**63


def check_trial(trial: Trial) -> None:
    """Check what a trial is made of.

    Raises:
        ValueError: naming what is wrong.
    """
    check_arguments(type(trial), vars(trial))
    if trial.kind not in KINDS:
        raise ValueError(f"kind is {reprlib.repr(trial.kind)}: expected one of {', '.join(KINDS)}")
    for name in _NEEDED[trial.kind]:
        if not getattr(trial, name):
            raise ValueError(f"a trial of kind {trial.kind} needs {name}")
    if not 0 <= trial.seed < _LARGEST:
        raise ValueError(f"seed is {reprlib.repr(trial.seed)}: expected a whole number from 0")
    if "\0" in trial.name or not all(p.strip(".") for p in re.split(r"[/\\]", trial.name)):
        raise ValueError(f"name is {reprlib.repr(trial.name)}: expected a folder under cells/")
    if trial.ablation is not None:
        check_arguments(type(trial.ablation), vars(trial.ablation))
        if not is_plain([trial.ablation.value]):
            raise ValueError(f"the value of an ablation is {reprlib.repr(trial.ablation.value)}")


def check_result(content: Mapping[str, Any]) -> None:
    """Check how a trial ended, as JSON gives it: all but the trial and the cost.

    A metric, or a value of a curve, may be ``null``: it is not defined.

    Raises:
        ValueError: naming what is wrong.
    """
    for name, kind in (("error", str | None), ("commands", list), ("curves", dict)):
        if name in content and not isinstance(content[name], kind):
            raise ValueError(f"{name} is {reprlib.repr(content[name])}")
    for name in ("metrics", "made_with"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{name} is {reprlib.repr(content[name])}: expected values by name")
    for command in content.get("commands", ()):
        if not isinstance(command, str):
            raise ValueError(f"a command is {reprlib.repr(command)}: expected text")
    for name, version in content.get("made_with", {}).items():
        if not isinstance(version, str):
            raise ValueError(f"made_with.{name} is {reprlib.repr(version)}: expected text")
    check_numbers("metrics", _defined(content.get("metrics", {})))
    check_numbers("", {"wall_seconds": content.get("wall_seconds", 0.0)}, finite=True)
    for name, curve in content.get("curves", {}).items():
        _check_curve(f"curve {reprlib.repr(name)}", curve)


def check_numbers(what: str, values: Any, finite: bool = False) -> None:
    """Check numbers by name.

    Raises:
        ValueError: naming the first that is none, or too large.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is {reprlib.repr(values)}: expected numbers by name")
    for name, value in values.items():
        fits = (type(value) is int and abs(value) < _LARGEST) or type(value) is float
        if not fits or (finite and not math.isfinite(value)):
            label = f"{what}.{name}" if what else name
            raise ValueError(f"{label} is {reprlib.repr(value)}: expected a number")


def check_settings_read(settings: Any) -> None:
    """Check the settings of a benchmark as far as its report reads them.

    Raises:
        ValueError: naming what is wrong.
    """
    if not isinstance(settings, dict) or not is_plain(settings):
        raise ValueError(f"settings are {reprlib.repr(settings)}: expected plain values by name")
    if not isinstance(settings.get("compare_with", ""), str | None):
        raise ValueError(f"compare_with is {reprlib.repr(settings['compare_with'])}: expected text")
    zoos = settings.get("zoos", {})
    if not isinstance(zoos, dict) or not all(isinstance(zoo, dict) for zoo in zoos.values()):
        raise ValueError(f"zoos are {reprlib.repr(zoos)}: expected settings by name")


def check_record(content: Mapping[str, Any]) -> None:
    """Check what a benchmark's record says, but for the trials, which are read one by one.

    Raises:
        ValueError: naming what is wrong.
    """
    kinds = {"commands": dict, "configs": dict, "cells": list, "settings": dict, "common": dict}
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"{name} is {reprlib.repr(content.get(name))}")
    zoos = content["common"].get("zoos")
    if not isinstance(zoos, dict):
        raise ValueError(f"common.zoos is {reprlib.repr(zoos)}: expected settings by name")
    for name, lines in content["commands"].items():
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError(f"commands of {reprlib.repr(name)} are {reprlib.repr(lines)}")


def _check_curve(what: str, curve: Any) -> None:
    if not isinstance(curve, list) or len(curve) != 2:
        raise ValueError(f"{what} is {reprlib.repr(curve)}: expected steps and values")
    steps, values = curve
    if not isinstance(steps, list) or not isinstance(values, list) or len(steps) != len(values):
        raise ValueError(f"{what} needs as many steps as values")
    check_numbers(f"{what}, steps", dict(enumerate(steps)), finite=True)
    check_numbers(f"{what}, values", _defined(dict(enumerate(values))))


def _defined(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in values.items() if value is not None}
