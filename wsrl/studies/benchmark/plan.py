"""The trials of a benchmark: what is run in each, and what must be there before."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from wsrl.analysis.encoder_properties import HIDDEN_SIZES
from wsrl.encoders import list_encoders
from wsrl.studies.baselines import BASELINES
from wsrl.studies.benchmark.results import TRIALS, Ablation, Trial
from wsrl.studies.benchmark.settings import (
    CONFIGS,
    BenchmarkSettings,
    BenchmarkZoo,
    Training,
    check_once,
    find_config,
)
from wsrl.studies.configs import read_config
from wsrl.studies.options import TRAINING_ONLY
from wsrl.tasks.prediction import FRESH

Words = list[str]
"""The words of a command after ``wsrl``."""


@dataclass(frozen=True)
class Commands:
    """The commands that trials run: the very ones that a user types.

    The caller gives them, since a study knows no command line. Other processes get them by
    reference, so both are functions of a module.

    Attributes:
        read: checks the words of a command; returns the arguments that they stand for.
        run: runs a command in this process; returns its exit status, or raises why it failed.
    """

    read: Callable[[Words], Mapping[str, Any]]
    run: Callable[[Words], int]


@dataclass(frozen=True)
class PlannedTrial:
    """A trial and how it is made.

    Attributes:
        trial: the trial.
        commands: what it runs, one after the other.
        needs: names of the trials that must be done before.
    """

    trial: Trial
    commands: tuple[Words, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """An encoder of the benchmark, or an ablation of one.

    Attributes:
        name: under which it is reported.
        words: how a training command chooses it.
        pretraining: what only its pre-training is told.
        ablation: which ablation it is, if it is one.
    """

    name: str
    words: Words
    pretraining: Words = field(default_factory=list)
    ablation: Ablation | None = None


def plan(settings: BenchmarkSettings, out: Path) -> list[PlannedTrial]:
    """List all trials of a benchmark, each after those that it needs.

    Encoders come seed by seed, so that a benchmark that is ended early has whole comparisons;
    ablations come last.

    Args:
        settings: what is compared.
        out: the benchmark's folder.
    """
    planner = _Planner(settings, out)
    return list(planner.trials())


def zoo_folder(out: Path, name: str, zoo: BenchmarkZoo) -> Path:
    """Return where a zoo of the benchmark is, or will be built."""
    return Path(zoo.path) if zoo.path is not None else out / "zoos" / name


def variants(settings: BenchmarkSettings) -> list[Variant]:
    """Return the encoders, then their ablations.

    Raises:
        ValueError: for names that are given twice, or cannot be names of folders.
    """
    words = {settings.encoder_name(e): settings.encoder_words(e) for e in settings.encoders}
    found = [Variant(name, chosen) for name, chosen in words.items()]
    for name, options in settings.ablations.items():
        for option, values in options.items():
            for value in values:
                full = option if "." in option else f"model.encoder.{option}"
                said = [f"--{full}", _word(value)]
                called, ablation = f"{name}-{option}={value}", Ablation(name, option, value)
                if full.startswith("model.encoder"):
                    found.append(Variant(called, [*words[name], *said], ablation=ablation))
                else:
                    found.append(Variant(called, words[name], said, ablation))
    names = [variant.name for variant in found]
    check_once("encoders with their ablations", names)
    for name in (*names, *settings.zoos):
        if not name or set(name) & set("/\\") or name.startswith("."):
            raise ValueError(f"{name!r} cannot be the name of a folder")
    return found


def zoo_command(name: str, zoo: BenchmarkZoo, out: Path) -> Words:
    """Return the command that builds a zoo of the benchmark."""
    assert zoo.build is not None
    words = ["zoo", "build", "--config", find_config(zoo.build), "--quiet", "true"]
    return [*words, "--out", str(zoo_folder(out, name, zoo)), *_options(zoo.options)]


def shown(words: Sequence[str]) -> str:
    """Return a command as one types it beside the repository's ``configs/``."""
    return shlex.join(["wsrl", *(word.replace(str(CONFIGS), "configs") for word in words)])


class _Planner:
    def __init__(self, settings: BenchmarkSettings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.variants = variants(settings)

    def trials(self) -> Iterator[PlannedTrial]:
        settings = self.settings
        for name, zoo in settings.zoos.items():
            if zoo.path is None:
                trial = Trial(_name(name, "zoo"), "zoo", name)
                yield PlannedTrial(trial, (zoo_command(name, zoo, self.out),))
        if settings.properties:
            yield from self._properties()
        for name in settings.zoos:
            yield from self._baselines(name, None)
        for seed, name in product(settings.seeds, settings.zoos):
            yield from self._baselines(name, seed)
            for variant in self.variants:
                if variant.ablation is None:
                    yield from self._encoder(name, variant, seed)
        ablated = [name for name, zoo in settings.zoos.items() if zoo.ablations]
        for seed, name, variant in product(settings.seeds, ablated, self.variants):
            if variant.ablation is not None:
                yield from self._encoder(name, variant, seed)

    def _properties(self) -> Iterator[PlannedTrial]:
        sizes = self.settings.properties
        for entry in self.settings.encoders:
            name = self.settings.encoder_name(entry)
            words = self.settings.encoder_words(entry)
            out = str(self.out / TRIALS / "properties" / name / "properties.json")
            measured = words[1] if words[0] == "--model.encoder" else entry
            if words[0] == "--config" and entry not in list_encoders():
                continue  # another preset of an encoder, or a file that may change any option
            command = ["encoders", "--measure", measured, "--out", out]
            if sizes != list(HIDDEN_SIZES):
                command += ["--hidden_sizes", *map(str, sizes)]
            yield PlannedTrial(
                Trial(_name("properties", name), "properties", encoder=name), (command,)
            )

    def _encoder(self, zoo_name: str, variant: Variant, seed: int) -> Iterator[PlannedTrial]:
        settings, zoo = self.settings, self.settings.zoos[zoo_name]
        place = (zoo_name, variant.name, f"seed{seed}")
        emulation = Trial(
            _name(*place, "emulation"),
            "emulation",
            zoo_name,
            variant.name,
            seed,
            ablation=variant.ablation,
        )
        run = str(self._folder(emulation))
        config = ["--config", find_config(settings.emulation.config)]
        options = _options(settings.emulation.options | zoo.emulation)
        fit = [*config, *variant.words, *self._data(zoo_name, seed), *options]
        fit += variant.pretraining
        commands = [
            ["fit", *fit, "--run", run, "--ckpt_path", "auto"],
            ["test", "--run", run, "--ckpt_path", "best"],
        ]
        if seed == settings.seeds[0]:
            commands.append(["predict", "--run", run, "--ckpt_path", "best"])
        yield PlannedTrial(emulation, tuple(commands), self._needs_zoo(zoo_name))
        for target, mode in self._predictions(zoo, variant):
            trial = Trial(
                _name(*place, f"{target}-{mode}"),
                "prediction",
                zoo_name,
                variant.name,
                seed,
                target,
                mode,
                variant.ablation,
            )
            yield self._prediction(trial, zoo, variant.words, emulation)

    def _predictions(self, zoo: BenchmarkZoo, variant: Variant) -> list[tuple[str, str]]:
        if variant.ablation is not None:
            return [(zoo.target, self.settings.modes[0])] if self.settings.modes else []
        main = [(zoo.target, mode) for mode in self.settings.modes]
        return main + list(product(zoo.targets, self.settings.other_modes))

    def _prediction(
        self, trial: Trial, zoo: BenchmarkZoo, words: Words, emulation: Trial
    ) -> PlannedTrial:
        training = self.settings.prediction
        assert trial.target is not None
        assert trial.mode is not None
        run = str(self._folder(trial))
        fit = ["--config", find_config(training.config), *words, *self._data(trial.zoo, trial.seed)]
        fit += ["--model.target", trial.target, "--model.mode", trial.mode]
        needs = self._needs_zoo(trial.zoo)
        if trial.mode not in FRESH:
            best = self._folder(emulation) / "checkpoints" / "best.ckpt"
            fit += ["--model.pretrained", str(best)]
            needs = (emulation.name,)
        fit += _options(training.options | zoo.prediction)
        commands = (
            ["fit", *fit, "--run", run, "--ckpt_path", "auto"],
            ["test", "--run", run, "--ckpt_path", "best"],
        )
        return PlannedTrial(trial, commands, needs)

    def _baselines(self, zoo_name: str, seed: int | None) -> Iterator[PlannedTrial]:
        """Yield the baselines of a seed, or those in which nothing is random."""
        zoo = self.settings.zoos[zoo_name]
        alike = _split(self.settings.prediction, zoo.prediction)
        steps = _steps(self.settings.prediction, zoo.prediction)
        baselines = [
            b for b in self.settings.baselines if BASELINES[b].random == (seed is not None)
        ]
        for baseline, target in product(baselines, [zoo.target, *zoo.targets]):
            place = [] if seed is None else [f"seed{seed}"]
            name = _name(zoo_name, "baselines", baseline, *place, target)
            trial = Trial(name, "baseline", zoo_name, baseline, seed or 0, target)
            folder = str(zoo_folder(self.out, zoo_name, zoo))
            words = ["baseline", baseline, "--data.zoo", folder, "--target", target]
            if seed is not None:
                words += ["--seed", str(seed), *([] if steps is None else ["--steps", str(steps)])]
            words += ["--run", str(self._folder(trial)), *_options(alike)]
            yield PlannedTrial(trial, (words,), self._needs_zoo(zoo_name))

    def _data(self, zoo_name: str, seed: int) -> Words:
        zoo = zoo_folder(self.out, zoo_name, self.settings.zoos[zoo_name])
        return ["--data.zoo", str(zoo), "--seed_everything", str(seed), "--data.seed", str(seed)]

    def _needs_zoo(self, zoo_name: str) -> tuple[str, ...]:
        return () if self.settings.zoos[zoo_name].path else (_name(zoo_name, "zoo"),)

    def _folder(self, trial: Trial) -> Path:
        return self.out / TRIALS / trial.name


def _split(training: Training, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by which a baseline has the splits of predictions."""
    given = {"data.ood_to_train": False}  # of `wsrl fit`; `wsrl baseline` has another default
    given |= {f"data.{name}": value for name, value in _section(training, "data").items()}
    given |= {**training.options, **options}
    unread = {f"data.{name}" for name in ("zoo", *TRAINING_ONLY)}
    return {k: v for k, v in given.items() if k.startswith("data.") and k not in unread}


def _steps(training: Training, options: Mapping[str, Any]) -> int | None:
    """Return how many steps predictions are trained, if they are counted."""
    given = {**training.options, **options}
    steps = given.get("trainer.max_steps", _section(training, "trainer").get("max_steps"))
    return steps if isinstance(steps, int) and steps > 0 else None


def _section(training: Training, name: str) -> Mapping[str, Any]:
    found = read_config(find_config(training.config)).get(name)
    return found if isinstance(found, Mapping) else {}


def _name(*parts: str) -> str:
    return "/".join(parts)


def _options(options: Mapping[str, Any]) -> Words:
    return [word for name, value in options.items() for word in (f"--{name}", _word(value))]


def _word(value: Any) -> str:
    """Write a value as the command line's parser reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
