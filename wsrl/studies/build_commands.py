"""``wsrl zoo build`` and ``wsrl zoo repair``."""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

from wsrl.problems import (
    TrainableProblem,
    create_problem,
    get_trainable_problem,
    list_trainable_problems,
)
from wsrl.studies.configs import Config, configs_apart
from wsrl.studies.launch import find_place
from wsrl.studies.messages import explain
from wsrl.studies.zoo_commands import summarize
from wsrl.terminal import complain
from wsrl.zoos import BuildSettings, ZooError, build_zoo, repair_zoo
from wsrl.zoos.assembly import Part, whats_left
from wsrl.zoos.build import shard_members
from wsrl.zoos.repair import settings_of
from wsrl.zoos.store import MAKERS


@dataclass(frozen=True)
class Build:
    """What a command line asks to be built.

    Attributes:
        problem: what the members are trained on.
        settings: how.
        how: the other arguments of ``build_zoo`` that can be given.
        given: all options, by name.
    """

    problem: TrainableProblem
    settings: BuildSettings
    how: dict[str, Any]
    given: Mapping[str, Any]


def read_build(args: Sequence[str]) -> Build:
    """Read a command line of ``wsrl zoo build``.

    Raises:
        ValueError: for an unknown problem or settings out of range.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    configs, options = configs_apart(args)
    problem = get_trainable_problem(_problem_name(configs, options))
    parser = ArgumentParser(
        prog="wsrl zoo build",
        description="Train a zoo. Run the same command again to go on with an interrupted build; "
        "several may build one zoo at once.",
        exit_on_error=False,
    )
    parser.add_argument("-c", "--config", action="config", help="a YAML file of settings")
    parser.add_argument(
        "--problem", default=problem.name, help=f"one of: {', '.join(list_trainable_problems())}"
    )
    skipped: set[str | int] = {"problem", "settings", "device", "part", "workers"}
    building = parser.add_function_arguments(build_zoo, skip=skipped)
    _add_launch_arguments(parser)
    own = {"weight_decay"} if problem.draws_weight_decay else set()
    training = parser.add_class_arguments(BuildSettings, skip=own)
    task = parser.add_class_arguments(problem)
    try:
        given = parser.parse_args([*(config.word for config in configs), *options])
    except ArgumentError as error:
        raise ArgumentError(None, explain(str(error), configs)) from error
    return Build(
        problem(**{name: given[name] for name in task}),
        BuildSettings(**{name: given[name] for name in training}),
        {name: given[name] for name in building},
        vars(given),
    )


def build_from_arguments(args: Sequence[str]) -> str | None:
    """Build a zoo as the command line says.

    Options are those of ``build_zoo``, ``BuildSettings`` and the problem's constructor, all on one
    level. The problem is found first, since it says which options there are.

    Returns:
        What to print; ``None`` where another process of the same command prints it.

    Raises:
        ValueError: for an unknown problem or settings out of range.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    build = read_build(args)
    given = build.given
    part = None if given["part"] is None else _part(given["part"])
    place = find_place(given["device"], given["devices"], given["nodes"], part)
    manifest = build_zoo(
        problem=build.problem,
        settings=build.settings,
        **build.how,
        device=place.device,
        part=place.part,
        workers=place.workers,
    )
    if place.part is None or manifest.complete:
        return summarize(given["out"])
    which, parts = place.part
    left = whats_left(given["out"], len(shard_members(build.settings)), parts)
    done = f"part {which}/{parts} of {given['out']} is through"
    return "\n  ".join([done, *left]) if left else summarize(given["out"])


def repair_from_arguments(args: Sequence[str]) -> str:
    """Repair a zoo as the command line says.

    Returns:
        What was found, and what became of it.

    Raises:
        ZooError: as ``repair_zoo``.
        argparse.ArgumentError: for a command line that cannot be read.
    """
    parser = ArgumentParser(
        prog="wsrl zoo repair",
        description="Keep what is whole of a damaged zoo, drop the rest, and train that again "
        "where the zoo was built here.",
        exit_on_error=False,
    )
    parser.add_argument("zoo", help="the zoo's folder")
    skipped: set[str | int] = {"out", "problem", "settings", "part", "workers"}
    building = parser.add_function_arguments(build_zoo, skip=skipped)
    given = parser.parse_args(list(args))
    folder = given["zoo"]
    repair = repair_zoo(folder)
    manifest = repair.manifest
    for line in repair.found:
        complain(line)
    if manifest.complete:
        return f"{folder}: {'repaired' if repair.found else 'whole, and left as it is'}"
    if manifest.origin != "built":
        return (
            f"{folder}: what is whole is kept. Run the command that made it again "
            f"({MAKERS[manifest.origin]}) to make the missing shards"
        )
    problem = create_problem(manifest.problem, manifest.problem_settings)
    if not isinstance(problem, TrainableProblem):
        raise ZooError(f"{folder}: nothing can be trained on {manifest.problem} here")
    settings = settings_of(manifest)
    build_zoo(folder, problem, settings, **{name: given[name] for name in building})
    return f"{folder}: repaired, the missing shards were trained"


def _add_launch_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("processes").add_argument
    add(
        "--device",
        default="auto",
        help="auto (GPUs where there are any), cpu, cuda, or for one process any torch device "
        "(default: auto)",
    )
    add(
        "--devices",
        type=int | None,
        help="processes on every machine, each with a device of its own (default: as torchrun or "
        "srun says, else 1)",
    )
    add(
        "--nodes",
        type=int | None,
        help="machines; without torchrun or srun start the command on each of them, with NODE_RANK "
        "set (default: as torchrun or srun says, else 1)",
    )
    add(
        "--part",
        type=str | None,
        metavar="i/n",
        help="train only the i-th of n shares of the shards and do not wait for the others, as in "
        "a job array; whoever is last completes the zoo",
    )


def _part(text: str) -> Part:
    if match := re.fullmatch(r"(\d+)/(\d+)", text):
        return int(match[1]), int(match[2])
    raise ArgumentError(None, f"--part {text}: expected i/n, as 1/4 for the first of four")


def _problem_name(configs: Sequence[Config], options: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--problem")
    given = parser.parse_known_args(list(options))[0].problem
    for config in reversed(configs):
        given = given or config.text_at("problem")
    if given is None and {"-h", "--help"} & set(options):
        given = list_trainable_problems()[0]
    if given is None:
        raise ArgumentError(None, f"say which --problem: {', '.join(list_trainable_problems())}")
    return str(given)
