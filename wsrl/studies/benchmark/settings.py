"""What a benchmark compares: zoos, encoders, seeds, targets, modes; one YAML says it all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import wsrl
from wsrl.analysis.encoder_properties import HIDDEN_SIZES
from wsrl.studies.baselines import BASELINES
from wsrl.tasks.prediction import MODES
from wsrl.validation import checked

CONFIGS = Path(wsrl.__file__).parent / "configs"
"""The configs that come with the package: those of the repository's ``configs/``."""


@checked
class Training:
    """How models of one kind are trained: by ``wsrl fit`` with a config and options.

    Attributes:
        config: a config file: a path, or a name in ``configs/``.
        options: settings by their name on the command line, as ``trainer.max_steps: 3000``.
    """

    config: str
    options: dict[str, Any] = field(default_factory=dict)


@checked
class BenchmarkZoo:
    """A zoo of a benchmark: built for it, or one that is there.

    Attributes:
        target: the main target, which is predicted in every mode.
        build: the config file of ``wsrl zoo build``, a path or a name in ``configs/``.
        path: the folder of a zoo, or of zoos of one problem, or a list of folders; instead of
            ``build``.
        options: settings of the build beside its config, by name.
        targets: further targets, predicted in ``other_modes``.
        emulation: options of emulation on this zoo beside the benchmark's.
        prediction: likewise of prediction.
        ablations: whether the ablations are run on this zoo.
    """

    target: str
    build: str | None = None
    path: list[str] | str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    emulation: dict[str, Any] = field(default_factory=dict)
    prediction: dict[str, Any] = field(default_factory=dict)
    ablations: bool = True


@checked
class BenchmarkSettings:
    """All that defines a benchmark.

    Attributes:
        zoos: by name.
        encoders: each a preset (``configs/encoders/NAME_SIZE.yaml``), the name or class path of an
            encoder, which then has its default options, or a YAML file of your own.
        seeds: of training; every encoder is trained once with each.
        emulation: how encoders are pre-trained.
        prediction: how properties are predicted.
        size: which size of the presets: ``small``, or nothing for the published one.
        modes: of the main target: ``frozen``, ``finetune``, ``scratch``, ``untrained``.
        other_modes: of the other targets.
        baselines: what needs no encoder: names that ``wsrl baseline`` knows.
        tuned: by encoder settings of its pre-training beside ``emulation``, as
            ``{DeepWeightSpace: {model.learning_rate: 0.001}}``; its ablations have them, too.
        ablations: by encoder and option the values to try one at a time:
            ``{InteractiveProbing: {num_probes: [1, 2]}}``. A name with a dot is any setting of
            pre-training: ``{InteractiveProbing: {model.learning_rate: [0.001]}}``.
        compare_with: the encoder against which the others' differences are reported.
        properties: hidden sizes at which the encoders' properties are measured; none for not.

    Raises:
        ValueError: naming the setting that makes no sense; zoos are not looked at.
    """

    zoos: dict[str, BenchmarkZoo]
    encoders: list[str]
    seeds: list[int]
    emulation: Training
    prediction: Training
    size: str = ""
    modes: list[str] = field(default_factory=lambda: ["frozen"])
    other_modes: list[str] = field(default_factory=lambda: ["frozen"])
    baselines: list[str] = field(default_factory=list)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)
    ablations: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    compare_with: str = "InteractiveProbing"
    properties: list[int] = field(default_factory=lambda: list(HIDDEN_SIZES))

    def __post_init__(self) -> None:
        names = [self.encoder_name(entry) for entry in self.encoders]
        given: dict[str, Sequence[Any]] = {
            "encoders": names,
            "seeds": self.seeds,
            "zoos": list(self.zoos),
            "modes": self.modes,
            "other_modes": self.other_modes,
            "baselines": self.baselines,
        }
        for what in ("encoders", "seeds", "zoos"):
            if not given[what]:
                raise ValueError(f"{what}: expected one or more")
        for name, zoo in self.zoos.items():
            if (zoo.build is None) == (zoo.path is None):
                raise ValueError(f"zoo {name}: give either `build`, a config, or `path`, a folder")
            given[f"targets of zoo {name}"] = [zoo.target, *zoo.targets]
        for what, values in given.items():
            check_once(what, values)
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds: expected numbers from 0 to 2**32 - 1; given: {self.seeds}")
        if self.properties and len(set(self.properties)) < 2:
            raise ValueError(f"properties: expected two hidden sizes or more: {self.properties}")
        for mode in (*self.modes, *self.other_modes):
            check_choice("mode", mode, MODES)
        for baseline in self.baselines:
            check_choice("baseline", baseline, list(BASELINES))
        check_choice("compare_with", self.compare_with, names)
        for what, chosen in {"ablations": self.ablations, "tuned": self.tuned}.items():
            for name in chosen:
                check_choice(f"encoder of {what}", name, names)

    def encoder_name(self, entry: str) -> str:
        """Return the name under which an entry of ``encoders`` is reported."""
        if entry.endswith((".yaml", ".yml")):
            return Path(entry).stem
        return entry.rsplit(".", 1)[-1]

    def encoder_words(self, entry: str) -> list[str]:
        """Return the words of a training command that choose an entry of ``encoders``."""
        if entry.endswith((".yaml", ".yml")):
            return ["--config", find_config(entry)]
        preset = CONFIGS / "encoders" / f"{entry}{f'_{self.size}' if self.size else ''}.yaml"
        if preset.is_file():
            return ["--config", str(preset)]
        return ["--model.encoder", entry]


def find_config(name: str) -> str:
    """Return the path of a config: a file where one works, or one that comes with the package.

    Raises:
        ValueError: where neither is there.
    """
    for path in (Path(name), CONFIGS / name):
        if path.is_file():
            return str(path)
    raise ValueError(f"no config {name}: neither a file here nor in {CONFIGS}")


def check_choice(what: str, given: str, choices: Sequence[str]) -> None:
    """Check that a name is one of those that there are."""
    if given not in choices:
        raise ValueError(f"unknown {what} {given!r}; choose one of {', '.join(choices)}")


def check_once(what: str, given: Sequence[Any]) -> None:
    """Check that nothing is given more than once."""
    if twice := [str(value) for value, count in Counter(given).items() if count > 1]:
        raise ValueError(f"{what}: given more than once: {', '.join(twice)}")
