"""Checks of a whole grid before its first trial: names, options, targets, zoos."""

from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from wsrl.data.datamodule import common_spec, suited_options
from wsrl.data.splits import split_tasks, unique_tasks
from wsrl.encoders import list_encoders
from wsrl.rnn import RNNSpec
from wsrl.stopping import StopRequests
from wsrl.studies.baselines import check_baseline
from wsrl.studies.benchmark.plan import PlannedTrial, Read, Words, zoo_command, zoo_place
from wsrl.studies.benchmark.settings import BenchmarkSettings, BenchmarkZoo, check_choice
from wsrl.studies.configs import one_line_errors
from wsrl.studies.training.callbacks import quiet
from wsrl.studies.training.command import TrainingCLI
from wsrl.studies.training.runs import Request
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.zoos import open_zoo, settings_grid

Linked = dict[str, Any]
"""The arguments that a module gets from the data."""


class _Zoo(NamedTuple):
    """What is known of a zoo: what modules get, and the specs of its RNNs."""

    linked: Linked
    specs: tuple[RNNSpec, ...]


def check_grid(
    settings: BenchmarkSettings, trials: Sequence[PlannedTrial], out: Path, read: Read
) -> None:
    """Check everything that can be known of trials before hours are spent.

    Raises:
        ValueError: saying what is wrong: a name, an option, a target that the zoo does not have, a
            zoo that is missing or too small.
    """
    zoos: dict[str, _Zoo] = {}
    for name, zoo in settings.zoos.items():
        with _named(f"zoo {name}"):
            zoos[name] = _look_at(name, zoo, out, read)
        for target in (zoo.target, *zoo.targets):
            check_choice(f"target of zoo {name}", target, list(zoos[name].linked["targets"]))
    checked = set()
    for planned in trials:
        trial = planned.trial
        key = (trial.zoo, trial.encoder, trial.kind)  # seeds, targets and modes are all alike
        # Nothing but its encoder's options goes to an ablation's predictions.
        trained = trial.kind == "prediction" and trial.ablation is None
        if key not in checked and (trained or trial.kind == "emulation"):
            checked.add(key)
            with _named(trial.name):
                _check_training(planned.commands[0], zoos[trial.zoo].linked)
        if trial.kind == "baseline":
            with _named(trial.name):
                check_baseline(trial.encoder, zoos[trial.zoo].specs)


def _look_at(name: str, zoo: BenchmarkZoo, out: Path, read: Read) -> _Zoo:
    """Say what a zoo, built or not, is made of; refuse one that cannot be split."""
    place, opened = zoo_place(out, name, zoo), None
    if zoo.path is not None or Path(str(place)).is_dir():
        try:
            opened = open_zoo(place)
        except ValueError:
            if zoo.path is not None:
                raise  # else its build is not finished
    if opened is not None:
        problem, specs, targets = opened.problem, opened.specs, opened.targets
        tasks = opened.read("task").numpy()
    else:
        build = read(zoo_command(name, zoo, out))
        problem, how = build["problem"], build["settings"]
        sizes = (build["cell"], build["hidden_size"], build["num_layers"])
        grid = settings_grid(how, *sizes).values()
        problem.prepare()
        found = [s.spec(problem) for s in grid]
        specs, targets = tuple(dict.fromkeys(found)), problem.targets(how.snapshots)
        tasks = problem.draw_tasks(how.seed, range(how.runs)).numpy()
    split_tasks(problem.ood_criterion(unique_tasks(tasks)[0]))
    linked = {
        "spec": common_spec(specs),
        "targets": {name: target.to_dict() for name, target in targets.items()},
        "output_kind": problem.output_kind,
        "encoder_defaults": suited_options(problem.input_kind),
    }
    return _Zoo(linked, specs)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Return a message for an error."""
    try:
        with one_line_errors((), {"model.encoder": list_encoders()}):
            yield
    except (ArgumentError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{what}: {error}") from error


def _check_training(words: Words, linked: Linked) -> None:
    """Parse a training command in full, and make its module."""
    with quiet(), ExitStack() as held:
        _Check(Request.read(words[1:]), held, linked)


class _Check(TrainingCLI):
    """A training command that ends when its module was made, of an encoder with fresh weights."""

    def __init__(self, request: Request, held: ExitStack, linked: Linked) -> None:
        self.linked = linked
        request.ckpt_path = None
        request.options += ["--seed_everything", "false"]  # this process's random state stays
        super().__init__("fit", request, StopRequests(), held)

    def instantiate_classes(self) -> None:
        """Make the module alone."""
        given, linked = self.config["model"], dict(self.linked)
        arguments = {k: v for k, v in given["init_args"].as_dict().items() if k not in linked}
        if given["class_path"].endswith(EmulationModule.__name__):
            linked.pop("targets")
            EmulationModule(**arguments, **linked)
        else:
            linked.pop("output_kind")
            PredictionModule(**arguments | {"pretrained": None, "mode": "scratch"}, **linked)

    def after_instantiate_classes(self) -> None:
        """Take nothing: nothing is run."""
