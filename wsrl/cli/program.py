"""The commands of ``wsrl``, and how one of them is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from wsrl._process import find_own_modules, tune_process
from wsrl.cli import analysis, comparison, demo, encoders, inspection, training, zoo
from wsrl.cli.parsing import Command, Options
from wsrl.environment import check_numbers
from wsrl.failures import attempt, status_with_threads
from wsrl.terminal import CommandParser, flush, guarded, printable, say


def _all(*names: str) -> Callable[..., set[str]]:
    return lambda configs, words: set(names)


COMMANDS = {
    "fit": Command(training.fit, own_modules=True),
    "validate": Command(training.validate, own_modules=True),
    "test": Command(training.test, own_modules=True),
    "predict": Command(training.predict, own_modules=True),
    "baseline": Command(
        training.baseline,
        {
            "data": Options(
                "wsrl.data:ZooDataModule",
                skip=training.unread,
                nested=True,
                defaults={"ood_to_train": True},  # as for the published downstream tables
            )
        },
    ),
    "zoo build": Command(
        zoo.build,
        {
            "problem": Options(zoo.find_problem, choices=zoo.problems),
            "settings": Options("wsrl.zoos:BuildSettings", skip=zoo.drawn),
            "how": Options("wsrl.zoos:build_zoo", skip=_all(*zoo.GIVEN, "out", "device")),
        },
        configs=lambda configs, words: configs,
        goes_on=True,
    ),
    "zoo import": Command(
        zoo.import_,
        {
            "hints": Options("wsrl.zoos:OfficialHints"),
            "how": Options("wsrl.zoos:import_official", skip=_all("path", "out", "hints")),
        },
        goes_on=True,
    ),
    "zoo export": Command(zoo.export),
    "zoo pack": Command(zoo.pack, goes_on=True),
    "zoo info": Command(zoo.info),
    "zoo repair": Command(
        zoo.repair,
        {"how": Options("wsrl.zoos:build_zoo", skip=_all(*zoo.GIVEN, "out"))},
        goes_on=True,
    ),
    "zoo verify": Command(zoo.verify),
    "benchmark": Command(
        comparison.benchmark,
        {"settings": Options("wsrl.studies.benchmark.settings:BenchmarkSettings")},
        configs=comparison.with_tier,
        goes_on=True,
        own_modules=True,
    ),
    "report": Command(comparison.report, own_modules=True),
    "encoders": Command(encoders.encoders, own_modules=True),
    "inspect": Command(inspection.inspect, own_modules=True),
    "search": Command(inspection.search, own_modules=True),
    "interrogate": Command(analysis.interrogate),
    "memory analyze": Command(
        analysis.analyze, {"settings": Options("wsrl.analysis.memory_analysis:MemorySettings")}
    ),
    "demo": Command(demo.demo),
}

GROUPS = {
    "zoo": "Zoos: folders of trained RNNs with their sequences, outputs and labels.",
    "memory": "Variable memories: the basis in which a hidden state is a set of variables.",
}

DESCRIPTION = """\
Learn useful representations of recurrent neural network weights.

  wsrl zoo build --config configs/zoo/formal_languages_small.yaml --out zoos/small
  wsrl fit --config configs/emulation.yaml --model.encoder InteractiveProbing --data.zoo zoos/small
  wsrl test --ckpt_path runs/emulation/checkpoints/best.ckpt

Every command has a --help of its own. Set WSRL_TRACEBACK=1 to see where an error comes from."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        args: the words after ``wsrl``; those of the process by default.

    Returns:
        The exit status: 0 only where all is well, 2 for a command line that makes no sense, 70 for
        an unexpected error, else 1; 128 and the signal's number where one ended it.
    """
    words = list(sys.argv[1:] if args is None else args)
    with guarded() as threads:
        status = attempt("wsrl", lambda: _wsrl(words)) or attempt("wsrl", flush)
        return status_with_threads(status, threads)


def read(words: Sequence[str]) -> dict[str, object]:
    """Return the arguments that a command line stands for, without running the command.

    Raises:
        argparse.ArgumentError: for a command line that makes no sense.
        ValueError: for settings that are refused.
    """
    name, rest = _split(words)
    return COMMANDS[name].read(name, rest)


def run(words: Sequence[str]) -> int:
    """Run a command in this process; print what it returns.

    Returns:
        The exit status.

    Raises:
        argparse.ArgumentError: for a command line that makes no sense.
        Exception: as the command.
    """
    name, rest = _split(words)
    command = COMMANDS[name]
    if command.own_modules:
        find_own_modules()
    found = command.function(**command.read(name, rest))
    if isinstance(found, str):
        say(found)
    return found if isinstance(found, int) else 0


def _wsrl(words: list[str]) -> int:
    tune_process()
    _check_words(words)
    name, _ = _split(words)
    if name not in COMMANDS:
        return _help(words)

    def command() -> int:
        check_numbers()  # Lightning reads them when it is imported
        return run(words)

    return attempt(f"wsrl {name}", command, COMMANDS[name].goes_on)


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command, and the words after it."""
    length = 2 if words and words[0] in GROUPS else 1
    return " ".join(words[:length]), list(words[length:])


def _help(words: Sequence[str]) -> int:
    """List the commands, all or those of a group; refuse an unknown one."""
    group = words[0] if words and words[0] in GROUPS else ""
    prog = f"wsrl {group}".strip()
    parser = CommandParser(
        prog=prog,
        description=GROUPS.get(group, DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub = parser.add_subparsers(title="commands", metavar="command", required=True)
    listed = {name: command.summary for name, command in COMMANDS.items()}
    listed = {**listed, **({} if group else GROUPS)}
    for name, text in listed.items():
        if name.startswith(f"{group} ") if group else " " not in name:
            sub.add_parser(name.removeprefix(f"{group} "), help=text.replace("%", "%%"))
    if not group:
        from wsrl import __version__

        parser.add_argument("--version", action="version", version=f"wsrl {__version__}")
    return attempt(prog, lambda: parser.parse_args(words[1:] if group else words) and 2)


def _check_words(words: Sequence[str]) -> None:
    """Refuse names that no result could hold, before any work is done.

    Raises:
        ValueError: naming the word.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{printable(word)} is no UTF-8, which names in zoos, checkpoints and results must "
                "be: give the file or folder another name"
            ) from error
