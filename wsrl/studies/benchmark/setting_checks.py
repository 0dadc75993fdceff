"""Settings are checked before zoos are looked at: names, numbers, and what is given twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wsrl.studies.baselines import BASELINES
from wsrl.studies.benchmark.plan import variants
from wsrl.studies.benchmark.settings import BenchmarkSettings
from wsrl.tasks.prediction import MODES


def check_settings(settings: BenchmarkSettings) -> None:
    """Check what can be checked without looking at zoos.

    Raises:
        ValueError: naming the setting.
    """
    names = [settings.encoder_name(entry) for entry in settings.encoders]
    for what, given in (("encoders", names), ("seeds", settings.seeds)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{what}: expected one or more, each once; given: {given}")
    if not all(0 <= seed < 2**32 for seed in settings.seeds):
        raise ValueError(f"seeds: expected numbers from 0 to 2**32 - 1; given: {settings.seeds}")
    if not settings.zoos:
        raise ValueError("zoos: expected one or more")
    for name, zoo in settings.zoos.items():
        if (zoo.build is None) == (zoo.path is None):
            raise ValueError(f"zoo {name}: give either `build`, a config, or `path`, a folder")
        if len({zoo.target, *zoo.targets}) <= len(zoo.targets):
            raise ValueError(f"zoo {name}: its targets are {zoo.target} and {zoo.targets}")
    for mode in (*settings.modes, *settings.other_modes):
        check_choice("mode", mode, MODES)
    for baseline in settings.baselines:
        check_choice("baseline", baseline, list(BASELINES))
    if settings.properties and len(set(settings.properties)) < 2:
        raise ValueError(f"properties: expected two hidden sizes or more: {settings.properties}")
    check_choice("compare_with", settings.compare_with, names)
    for name in settings.ablations:
        check_choice("encoder of ablations", name, names)
    called = [variant.name for variant in variants(settings)]
    for what, given in (
        ("modes", settings.modes),
        ("other_modes", settings.other_modes),
        ("baselines", settings.baselines),
        ("encoders with their ablations", called),
    ):
        if twice := [name for name, count in Counter(given).items() if count > 1]:
            raise ValueError(f"{what}: given more than once: {', '.join(twice)}")
    for name in called:
        for text in (name, *settings.zoos):
            if not text or set(text) & set("/\\") or text.startswith("."):
                raise ValueError(f"{text!r} cannot be the name of a folder")


def check_choice(what: str, given: str, choices: Sequence[str]) -> None:
    """Check that a name is one of those that there are.

    Raises:
        ValueError: naming what is wrong and the choices.
    """
    if given not in choices:
        raise ValueError(f"unknown {what} {given!r}; choose one of {', '.join(choices)}")
