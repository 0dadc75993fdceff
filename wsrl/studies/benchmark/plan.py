"""The trials of a benchmark: the commands of each, and the trials that it needs."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from wsrl.analysis.encoder_properties import HIDDEN_SIZES
from wsrl.encoders import list_encoders
from wsrl.strict_json import to_json
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


Read = Callable[[Words], Mapping[str, Any]]
Run = Callable[[Words], int]
"""Check the words of a command, and run it: given by the caller, as a study knows no command line.

Other processes get them by reference, so both are functions of a module.
"""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the commands that it runs, and the names of those that must be done before."""

    trial: Trial
    commands: tuple[Words, ...]
    needs: tuple[str, ...] = ()


class Variant(NamedTuple):
    """An encoder of the benchmark, or an ablation of one.

    Attributes:
        words: how a training command chooses it.
        pretraining: what only its pre-training is told.
    """

    name: str
    words: Words
    pretraining: Sequence[str] = ()
    ablation: Ablation | None = None


def plan(settings: BenchmarkSettings, out: Path) -> list[PlannedTrial]:
    """List all trials of a benchmark, each after those that it needs.

    Encoders come seed by seed, so that a benchmark that is ended early has whole comparisons;
    ablations come last.
    """
    return list(_Planner(settings, out).trials())


def zoo_place(out: Path, name: str, zoo: BenchmarkZoo) -> str | list[str]:
    """Return where a zoo of the benchmark is, or will be built; several folders of several."""
    return str(out / "zoos" / name) if zoo.path is None else zoo.path


def variants(settings: BenchmarkSettings) -> list[Variant]:
    """Return the encoders, then their ablations.

    Raises:
        ValueError: for names that are given twice, or cannot be names of folders.
    """
    words = {settings.encoder_name(e): settings.encoder_words(e) for e in settings.encoders}
    tuned = {name: _options(settings.tuned.get(name, {})) for name in words}
    found = [Variant(name, chosen, tuned[name]) for name, chosen in words.items()]
    for name, options in settings.ablations.items():
        for option, value in ((o, value) for o, values in options.items() for value in values):
            full = option if "." in option else f"model.encoder.{option}"
            said = _options({full: value})
            called, ablation = f"{name}-{option}={value}", Ablation(name, option, value)
            if full.startswith("model.encoder"):
                found.append(Variant(called, [*words[name], *said], tuned[name], ablation))
            else:
                found.append(Variant(called, words[name], [*tuned[name], *said], ablation))
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
    return [*words, "--out", str(out / "zoos" / name), *_options(zoo.options)]


def shown(words: Sequence[str], modules: Iterable[str] = ()) -> str:
    """Return a command as one types it beside the repository's ``configs/``.

    ``modules`` are those to import.
    """
    typed = [word.replace(str(CONFIGS), "configs") for word in words]
    return shlex.join(["wsrl", *typed, *(w for module in modules for w in ("--import", module))])


class _Planner:
    def __init__(self, settings: BenchmarkSettings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.variants = variants(settings)

    def trials(self) -> Iterator[PlannedTrial]:
        settings = self.settings
        for name, zoo in settings.zoos.items():
            if zoo.path is None:
                trial = Trial(f"{name}/zoo", "zoo", name)
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
            words = self.settings.encoder_words(entry)
            if words[0] == "--config" and entry not in list_encoders():
                continue  # another preset of an encoder, or a file that may change any option
            name = self.settings.encoder_name(entry)
            trial = Trial(f"properties/{name}", "properties", encoder=name)
            measured = words[1] if words[0] == "--model.encoder" else entry
            command = ["encoders", "--measure", measured]
            command += ["--out", str(self._folder(trial) / "properties.json")]
            if sizes != list(HIDDEN_SIZES):
                command += ["--hidden_sizes", *map(str, sizes)]
            yield PlannedTrial(trial, (command,))

    def _encoder(self, zoo_name: str, variant: Variant, seed: int) -> Iterator[PlannedTrial]:
        settings, zoo = self.settings, self.settings.zoos[zoo_name]
        place, of = f"{zoo_name}/{variant.name}/seed{seed}", (zoo_name, variant.name, seed)
        built = self._needs_zoo(zoo_name)
        emulation = Trial(f"{place}/emulation", "emulation", *of, ablation=variant.ablation)
        options = settings.emulation.options | zoo.emulation
        words = [*_options(options), *variant.pretraining]
        commands = self._training(emulation, settings.emulation, variant, words)
        if seed == settings.seeds[0]:
            run = str(self._folder(emulation))
            commands = (*commands, ["predict", "--run", run, "--ckpt_path", "best"])
        yield PlannedTrial(emulation, commands, built)
        best = str(self._folder(emulation) / "checkpoints" / "best.ckpt")
        for target, mode in self._predictions(zoo, variant):
            name = f"{place}/{target}-{mode}"
            trial = Trial(name, "prediction", *of, target, mode, variant.ablation)
            words = ["--model.target", target, "--model.mode", mode]
            words += [] if mode in FRESH else ["--model.pretrained", best]
            words += _options(settings.prediction.options | zoo.prediction)
            commands = self._training(trial, settings.prediction, variant, words)
            yield PlannedTrial(trial, commands, built if mode in FRESH else (emulation.name,))

    def _predictions(self, zoo: BenchmarkZoo, variant: Variant) -> list[tuple[str, str]]:
        if variant.ablation is not None:
            return [(zoo.target, mode) for mode in self.settings.modes[:1]]
        main = [(zoo.target, mode) for mode in self.settings.modes]
        return main + list(product(zoo.targets, self.settings.other_modes))

    def _training(
        self, trial: Trial, training: Training, variant: Variant, words: Words
    ) -> tuple[Words, ...]:
        """Return the commands that train and test; ``words`` beat those of the encoder."""
        seed, run = str(trial.seed), ["--run", str(self._folder(trial)), "--ckpt_path"]
        fit = ["--config", find_config(training.config), *variant.words, *self._data(trial.zoo)]
        fit += ["--seed_everything", seed, "--data.seed", seed, *words]
        return ["fit", *fit, *run, "auto"], ["test", *run, "best"]

    def _baselines(self, zoo_name: str, seed: int | None) -> Iterator[PlannedTrial]:
        """Yield the baselines of a seed, or those in which nothing is random."""
        zoo = self.settings.zoos[zoo_name]
        options = _prediction_options(self.settings.prediction, zoo)
        steps = options.get("trainer.max_steps")
        for name, target in product(self.settings.baselines, [zoo.target, *zoo.targets]):
            if BASELINES[name].random != (seed is not None):
                continue
            place = f"{zoo_name}/baselines/{name}" + ("" if seed is None else f"/seed{seed}")
            trial = Trial(f"{place}/{target}", "baseline", zoo_name, name, seed or 0, target)
            words = ["baseline", name, *self._data(zoo_name), "--target", target]
            if seed is not None:
                words += ["--seed", str(seed)]
                words += ["--steps", str(steps)] if isinstance(steps, int) and steps > 0 else []
            words += ["--run", str(self._folder(trial))]
            if options.get("model.kind"):
                words += ["--kind", options["model.kind"]]
            words += _options({k: v for k, v in options.items() if k.startswith("data.")})
            yield PlannedTrial(trial, (words,), self._needs_zoo(zoo_name))

    def _data(self, zoo_name: str) -> Words:
        place = zoo_place(self.out, zoo_name, self.settings.zoos[zoo_name])
        return ["--data.zoo", place if isinstance(place, str) else to_json(place)]

    def _needs_zoo(self, zoo_name: str) -> tuple[str, ...]:
        return () if self.settings.zoos[zoo_name].path else (f"{zoo_name}/zoo",)

    def _folder(self, trial: Trial) -> Path:
        return self.out / TRIALS / trial.name


def _prediction_options(training: Training, zoo: BenchmarkZoo) -> dict[str, Any]:
    """Return the options of predictions that a baseline has too: splits, steps and kind."""
    given: dict[str, Any] = {"data.ood_to_train": False}  # as of `wsrl fit`
    config = read_config(find_config(training.config))
    for section in ("data", "trainer", "model"):
        found = config.get(section)
        if isinstance(found, Mapping):
            given |= {f"{section}.{name}": value for name, value in found.items()}
    unread = {f"data.{name}" for name in ("zoo", *TRAINING_ONLY)}
    given |= training.options | zoo.prediction
    return {name: value for name, value in given.items() if name not in unread}


def _options(options: Mapping[str, Any]) -> Words:
    """Write options as the command line's parser reads them."""
    words = []
    for name, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += [f"--{name}", "null" if value is None else text]
    return words
