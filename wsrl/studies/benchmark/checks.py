"""Checks of a whole grid before its first trial: names, options, targets, zoos."""

from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from wsrl.data.datamodule import suited_options
from wsrl.data.splits import split_tasks, unique_tasks
from wsrl.encoders import list_encoders
from wsrl.stopping import StopRequests
from wsrl.studies.benchmark.plan import PlannedTrial, Read, Words, zoo_command, zoo_folder
from wsrl.studies.benchmark.settings import BenchmarkSettings, BenchmarkZoo, check_choice
from wsrl.studies.configs import one_line_errors
from wsrl.studies.training.callbacks import quiet
from wsrl.studies.training.command import TrainingCLI
from wsrl.studies.training.runs import Request
from wsrl.tasks import EmulationModule, PredictionModule
from wsrl.zoos import open_zoo

Linked = dict[str, Any]
"""The arguments that a module gets from the data."""


def check_grid(
    settings: BenchmarkSettings, trials: Sequence[PlannedTrial], out: Path, read: Read
) -> None:
    """Check everything that can be known of trials before hours are spent.

    Raises:
        ValueError: saying what is wrong: a name, an option, a target that the zoo does not have, a
            zoo that is missing or too small.
    """
    zoos: dict[str, Linked] = {}
    for name, zoo in settings.zoos.items():
        with _named(f"zoo {name}"):
            zoos[name] = _linked(zoo_folder(out, name, zoo), name, zoo, out, read)
        for target in (zoo.target, *zoo.targets):
            check_choice(f"target of zoo {name}", target, list(zoos[name]["targets"]))
    checked = set()
    for planned in trials:
        trial = planned.trial
        key = (trial.zoo, trial.encoder, trial.kind)  # seeds, targets and modes are all alike
        # Nothing but its encoder's options goes to an ablation's predictions.
        trained = trial.kind == "prediction" and trial.ablation is None
        if key not in checked and (trained or trial.kind == "emulation"):
            checked.add(key)
            with _named(trial.name):
                _check_training(planned.commands[0], zoos[trial.zoo])


def _linked(folder: Path, name: str, zoo: BenchmarkZoo, out: Path, read: Read) -> Linked:
    """Return what modules get of a zoo, built or not; refuse one that cannot be split."""
    opened = None
    if zoo.path is not None or (folder / "manifest.json").is_file():
        try:
            opened = open_zoo(folder)
        except ValueError:
            if zoo.path is not None:
                raise  # else its build is not finished
    if opened is not None:
        problem, spec, steps = opened.problem, opened.spec, opened.steps
        tasks = opened.read("task").numpy()
    else:
        build = read(zoo_command(name, zoo, out))
        problem, how = build["problem"], build["settings"]
        problem.prepare()
        spec = problem.spec(how.cell, how.hidden_size, how.num_layers, how.bias)
        steps, tasks = how.snapshots, problem.draw_tasks(how.seed, range(how.runs)).numpy()
    split_tasks(problem.ood_criterion(unique_tasks(tasks)[0]))
    return {
        "spec": spec.to_dict(),
        "targets": {name: target.to_dict() for name, target in problem.targets(steps).items()},
        "output_kind": problem.output_kind,
        "encoder_defaults": suited_options(problem.input_kind),
    }


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
