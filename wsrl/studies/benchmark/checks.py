"""Checks of a whole grid before its first trial: names, options, targets, disk, memory."""

from __future__ import annotations

import shutil
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsrl.data.datamodule import suited_options
from wsrl.data.splits import split_tasks, unique_tasks
from wsrl.problems import Problem
from wsrl.rnn import RNNSpec
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.memory import Estimate, available_memory, estimate
from wsrl.studies.benchmark.plan import Commands, PlannedTrial, Words, zoo_command, zoo_folder
from wsrl.studies.benchmark.settings import BenchmarkSettings, BenchmarkZoo, check_choice
from wsrl.studies.configs import one_line_errors
from wsrl.studies.training.callbacks import quiet
from wsrl.studies.training.command import TrainingCLI
from wsrl.studies.training.runs import Request
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.zoos import open_zoo

_CHECKPOINTS = 2 * 3 * 4  # bytes of a parameter: best and last, each with two moments of AdamW
_LOGS = 1 << 20  # bytes of a run beside its checkpoints: curves, tests, settings


@dataclass(frozen=True)
class ZooFacts:
    """What is known of a zoo, built or not.

    Attributes:
        problem: what its RNNs were, or will be, trained on.
        spec: the RNNs.
        targets: what can be predicted of them, as plain values.
        bytes: what is still to be written of it.
    """

    problem: Problem
    spec: RNNSpec
    targets: dict[str, dict[str, Any]]
    bytes: int

    def linked(self) -> dict[str, Any]:
        """Return the arguments that a module gets from the data."""
        return {
            "spec": self.spec.to_dict(),
            "targets": self.targets,
            "output_kind": self.problem.output_kind,
            "encoder_defaults": suited_options(self.problem.input_kind),
        }


def check_grid(
    settings: BenchmarkSettings,
    trials: Sequence[PlannedTrial],
    out: Path,
    workers: int,
    commands: Commands,
) -> None:
    """Check everything that can be known before hours are spent.

    Args:
        settings: what is compared.
        trials: the trials of it that are to be run.
        out: the benchmark's folder.
        workers: trials that run at once on this machine.
        commands: those that trials run.

    Raises:
        ValueError: saying what is wrong: a name, an option, a target that the zoo does not have, a
            zoo that is missing or too small, too little disk or memory.
    """
    zoos = {name: _zoo_facts(name, zoo, out, commands) for name, zoo in settings.zoos.items()}
    for name, zoo in settings.zoos.items():
        for target in (zoo.target, *zoo.targets):
            check_choice(f"target of zoo {name}", target, list(zoos[name].targets))
    sizes: dict[tuple[str, str], Estimate] = {}
    for planned in _distinct(settings, trials):
        with _named(planned):
            found = _check_training(planned.commands[0], zoos[planned.trial.zoo])
        key = planned.trial.zoo, planned.trial.encoder
        sizes[key] = found.or_larger(sizes.get(key, found))
    _check_disk(trials, sizes, sum(facts.bytes for facts in zoos.values()), out)
    _check_memory(sizes, workers)


def _zoo_facts(name: str, zoo: BenchmarkZoo, out: Path, commands: Commands) -> ZooFacts:
    folder = zoo_folder(out, name, zoo)
    if zoo.path is not None or (folder / "manifest.json").is_file():
        try:
            opened = open_zoo(folder)
        except ValueError as error:
            if zoo.path is not None:
                raise ValueError(f"zoo {name}: {error}") from error
        else:
            targets = opened.problem.targets(opened.steps)
            _check_splits(name, opened.problem, opened.read("task").numpy())
            return ZooFacts(opened.problem, opened.spec, _plain(targets), 0)
    try:
        build = commands.read(zoo_command(name, zoo, out))
    except (ValueError, ArgumentError) as error:
        raise ValueError(f"zoo {name}: {error}") from error
    problem, how = build["problem"], build["settings"]
    problem.prepare()
    _check_splits(name, problem, problem.draw_tasks(how.seed, range(how.runs)).numpy())
    spec = problem.spec(how.cell, how.hidden_size, how.num_layers, how.bias)
    row = 4 * spec.num_parameters
    for column in problem.columns().values():
        size = int("".join(filter(str.isdigit, column.dtype)) or 8) // 8
        count = 1
        for length in column.shape:
            count *= length
        row += size * count
    targets = problem.targets(how.snapshots)
    return ZooFacts(problem, spec, _plain(targets), row * how.runs * len(how.snapshots))


def _check_splits(name: str, problem: Problem, tasks: Any) -> None:
    try:
        found, _ = unique_tasks(tasks)
        split_tasks(problem.ood_criterion(found))
    except ValueError as error:
        raise ValueError(f"zoo {name}: {error}") from error


def _plain(targets: Any) -> dict[str, dict[str, Any]]:
    return {name: target.to_dict() for name, target in targets.items()}


def _distinct(
    settings: BenchmarkSettings, trials: Sequence[PlannedTrial]
) -> Iterator[PlannedTrial]:
    """Choose the trials that are parsed: seeds differ in nothing, targets are alike for encoders.

    Of ablations only pre-training is: nothing but the encoder's options goes to their predictions.
    """
    seen = set()
    for planned in trials:
        trial = planned.trial
        if trial.kind == "emulation":
            key: tuple[Any, ...] = (trial.zoo, trial.encoder)
        elif trial.kind == "prediction" and trial.encoder == settings.compare_with:
            key = (trial.zoo, trial.target, trial.mode)
        elif trial.kind == "prediction" and trial.ablation is None:
            key = (trial.zoo, trial.encoder, "prediction")
        else:
            continue
        if key not in seen:
            seen.add(key)
            yield planned


@contextmanager
def _named(planned: PlannedTrial) -> Iterator[None]:
    """Say which trial is meant by an error."""
    try:
        with one_line_errors():
            yield
    except (ArgumentError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{planned.trial.name}: {error}") from error


def _check_training(words: Words, zoo: ZooFacts) -> Estimate:
    """Parse a training command in full, make its module, and see what a step of it takes."""
    with quiet(), ExitStack() as held:
        return _Check(Request.read(words[1:]), held, zoo).estimate


class _Check(TrainingCLI):
    """A training command that ends when its module was made, of an encoder with fresh weights."""

    def __init__(self, request: Request, held: ExitStack, zoo: ZooFacts) -> None:
        self.zoo = zoo
        request.ckpt_path = None
        request.options += ["--seed_everything", "false"]  # this process's random state stays
        super().__init__("fit", request, StopRequests(), held)

    def instantiate_classes(self) -> None:
        """Make the module alone."""
        given = self.config["model"]
        linked = self.zoo.linked()
        arguments = {k: v for k, v in given["init_args"].as_dict().items() if k not in linked}
        if given["class_path"].endswith(EmulationModule.__name__):
            linked.pop("targets")
            module: EmulationModule | PredictionModule = EmulationModule(**arguments, **linked)
        else:
            linked.pop("output_kind")
            arguments |= {"pretrained": None, "mode": "scratch"}
            module = PredictionModule(**arguments, **linked)
        self.estimate = estimate(module, self.zoo.problem, self.config["data"]["batch_size"])

    def after_instantiate_classes(self) -> None:
        """Take nothing: nothing is run."""


def _check_disk(
    trials: Sequence[PlannedTrial], sizes: dict[tuple[str, str], Estimate], zoos: int, out: Path
) -> None:
    needed = zoos
    for planned in trials:
        size = sizes.get((planned.trial.zoo, planned.trial.encoder))
        if size is not None:
            whole = planned.trial.kind == "emulation"
            needed += _CHECKPOINTS * (size.parameters if whole else size.encoder) + _LOGS
    place = out.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"the benchmark may write {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB "
            "left: free some, or choose another --out"
        )


def _check_memory(sizes: dict[tuple[str, str], Estimate], workers: int) -> None:
    if not sizes:
        return
    (zoo, encoder), largest = max(sizes.items(), key=lambda item: item[1].bytes)
    share, what = available_memory(workers)
    if largest.bytes > share:
        raise ValueError(
            f"a step of {encoder} on {zoo} takes about {largest.bytes / 1e9:.1f} GB, but each of "
            f"{workers} workers has {share / 1e9:.1f} GB of {what}: pass fewer --workers, or a "
            "smaller data.batch_size in the benchmark's options"
        )
