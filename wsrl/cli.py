"""The command ``wsrl``.

This file dispatches, prints and turns errors into one message. It imports neither torch nor
Lightning before a command needs them, so that help is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from wsrl._process import find_own_modules, take_imports, tune_process
from wsrl.failures import attempt, status_with_threads
from wsrl.terminal import CommandParser, complain, flush, guarded, printable, say

Command = Callable[[list[str]], int | None]
"""Takes the words after its name; returns the exit status, where it is not 0."""

GO_ON = {"benchmark", "build", "import", "pack", "repair"}
"""Commands that go on with their work when they are run again."""

TRAINING = {
    "fit": "train a model: emulation (pre-training) or prediction of a property",
    "validate": "evaluate a checkpoint on the validation and OOD splits",
    "test": "evaluate a checkpoint on the validation, OOD (and test) splits, and keep the numbers",
    "predict": "write the embeddings (and predictions) of a whole zoo to one file",
}

DESCRIPTION = """\
Learn useful representations of recurrent neural network weights.

  wsrl zoo build --config configs/zoo/formal_languages_small.yaml --out zoos/small
  wsrl fit --config configs/emulation.yaml --model.encoder InteractiveProbing --data.zoo zoos/small
  wsrl test --ckpt_path runs/emulation/checkpoints/best.ckpt

Every command has a --help of its own, and takes --import MODULE: a Python module with encoders,
losses, targets or problems of your own. Set WSRL_TRACEBACK=1 to see where an error comes from."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        args: the words after ``wsrl``; those of the process by default.

    Returns:
        The exit status: 0 only where all is well, 2 for a command line that makes no sense, 70 for
        an error that nobody foresaw, else 1; 128 and the signal's number where one ended it.
    """
    words = list(sys.argv[1:] if args is None else args)
    with guarded() as threads:
        status = attempt("wsrl", lambda: _wsrl(words)) or attempt("wsrl", flush)
        return status_with_threads(status, threads)


def _wsrl(words: list[str]) -> int:
    tune_process()
    _check_words(words)
    given, words = words, take_imports(words)
    if len(words) < len(given) and words and words[0] not in TRAINING:  # these do it themselves
        from wsrl.environment import check_numbers

        check_numbers()
        find_own_modules()
    commands: dict[str, tuple[str, Command]] = {
        **{name: (text, _training(name)) for name, text in TRAINING.items()},
        "baseline": ("predict a property without any trained encoder", _checked(_baseline)),
        "zoo": ("build, describe and verify zoos", _zoo),
        "benchmark": ("compare encoders: train, test and predict with all, and report", _benchmark),
        "interrogate": ("find the strings that tell the RNNs of a zoo apart", _interrogate),
        "report": ("make the report of a benchmark from its stored results", _report),
        "encoders": ("list the encoders, or measure what they tell apart", _checked(_encoders)),
        "inspect": ("say what a trained encoder sees in your own RNN", _checked(_inspect)),
        "search": ("the same for many RNNs, put in order", _checked(_search)),
        "memory": ("find the variables of a task in RNNs", _memory),
        "demo": ("a zoo, an encoder and a prediction from it, in minutes", _checked(_demo)),
    }
    return _dispatch("wsrl", DESCRIPTION, commands, words)


def _zoo(args: list[str]) -> int:
    commands: dict[str, tuple[str, Command]] = {
        "build": ("train a zoo, or go on with one that was interrupted", _zoo_build),
        "import": ("import a published zoo (.npy files)", _zoo_import),
        "export": ("write a zoo in the published format", _zoo_export),
        "pack": ("make a zoo of your own RNNs", _zoo_pack),
        "info": ("say what a zoo holds", _zoo_info),
        "repair": ("keep what is whole of a damaged zoo, make the rest again", _zoo_repair),
        "verify": ("check a zoo's files, labels and stored outputs", _zoo_verify),
    }
    description = "Zoos: folders of trained RNNs with their sequences, outputs and labels."
    return _dispatch("wsrl zoo", description, commands, args)


def _memory(args: list[str]) -> int:
    commands: dict[str, tuple[str, Command]] = {
        "analyze": ("look for variable memories, and say whether to trust them", _memory_analyze),
    }
    description = "Variable memories: the basis in which a hidden state is a set of variables."
    return _dispatch("wsrl memory", description, commands, args)


def _dispatch(
    prog: str, description: str, commands: dict[str, tuple[str, Command]], args: list[str]
) -> int:
    """Hand the arguments after a command's name to it."""
    if args and args[0] in commands:
        return attempt(
            f"{prog} {args[0]}", lambda: commands[args[0]][1](args[1:]), args[0] in GO_ON
        )
    parser = CommandParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub = parser.add_subparsers(title="commands", metavar="command", required=True)
    for name, (text, _) in commands.items():
        sub.add_parser(name, help=text)
    if prog == "wsrl":
        from wsrl import __version__

        parser.add_argument("--version", action="version", version=f"wsrl {__version__}")
    parser.parse_args(args)  # help, the version, or an unknown command: always ends here
    return 2


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


def _training(subcommand: str) -> Command:
    def command(args: list[str]) -> None:
        from wsrl._process import end_hard_with_the_launcher
        from wsrl.environment import check_training
        from wsrl.stopping import StopRequests, is_launched

        check_training()
        end_hard_with_the_launcher()
        # From here on, since the imports take seconds, in which a process of several must not die.
        with StopRequests(at_once=not is_launched()) as stop:
            from wsrl.studies.training.command import run_training

            find_own_modules()
            run_training(subcommand, args, stop)

    return command


def _checked(command: Command) -> Command:
    """Check the environment variables that Lightning reads when it is imported."""

    def checked(args: list[str]) -> int | None:
        from wsrl.environment import check_numbers

        check_numbers()
        return command(args)

    return checked


def _demo(args: list[str]) -> None:
    from wsrl.studies.demo import run_demo

    parser = CommandParser(prog="wsrl demo", description=run_demo.__doc__)
    parser.add_argument("--out", default="demo", help="folder for all it makes (default: demo)")
    run_demo(parser.parse_args(args).out)


def _benchmark(args: list[str]) -> int:
    from wsrl.environment import check_training

    check_training()
    from wsrl.studies.benchmark_commands import benchmark_from_arguments

    find_own_modules()
    return benchmark_from_arguments(args)


def _zoo_build(args: list[str]) -> None:
    from wsrl.studies.build_commands import build_from_arguments

    if (said := build_from_arguments(args)) is not None:
        say(said)


def _zoo_import(args: list[str]) -> None:
    from wsrl.studies.official_commands import import_from_arguments
    from wsrl.studies.zoo_commands import summarize

    say(summarize(import_from_arguments(args)))


def _zoo_export(args: list[str]) -> None:
    from wsrl.studies.official_commands import export_from_arguments

    folder, lost = export_from_arguments(args)
    say(f"{folder}: written, {'but for' if lost else 'nothing is lost'}")
    for what in lost:
        say(f"  {what}")


def _zoo_pack(args: list[str]) -> None:
    from wsrl.studies.pack_commands import pack_from_arguments

    folder = pack_from_arguments(args)
    from wsrl.studies.zoo_commands import summarize

    say(summarize(folder))


def _zoo_info(args: list[str]) -> None:
    parser = CommandParser(prog="wsrl zoo info", description="Say what a finished zoo holds.")
    parser.add_argument("zoo", help="the zoo's folder")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    options = parser.parse_args(args)
    from wsrl.strict_json import to_json
    from wsrl.studies.zoo_commands import describe, summarize

    zoo = options.zoo
    say(to_json(describe(zoo), indent=2) if options.json else summarize(zoo))


def _zoo_repair(args: list[str]) -> None:
    from wsrl.studies.build_commands import repair_from_arguments

    say(repair_from_arguments(args))


def _zoo_verify(args: list[str]) -> None:
    from wsrl.studies.options import whole

    parser = CommandParser(
        prog="wsrl zoo verify",
        description="Check checksums and labels, and recompute the stored outputs from the stored "
        "weights and sequences. The exit status is 0 only where all agree.",
    )
    parser.add_argument("zoo", help="the zoo's folder")
    parser.add_argument(
        "--sequences", type=whole(), help="recompute so many sequences of a snapshot (default: all)"
    )
    options = parser.parse_args(args)
    from wsrl.zoos import verify_zoo

    report = verify_zoo(options.zoo, options.sequences)
    say(
        f"{options.zoo}: well. {report.snapshots} snapshots, {report.sequences} sequences each; "
        f"largest error of a recomputed output: {report.largest_error:.2g}"
    )


def _baseline(args: list[str]) -> None:
    from wsrl.studies.baseline_commands import baseline_from_arguments

    say(baseline_from_arguments(args))


def _interrogate(args: list[str]) -> None:
    from wsrl.studies.interrogate_commands import interrogate_from_arguments

    say(interrogate_from_arguments(args))


def _report(args: list[str]) -> None:
    from wsrl.studies.report.commands import report_from_arguments

    find_own_modules()
    say(report_from_arguments(args))


def _inspect(args: list[str]) -> None:
    from wsrl.studies.inspect_commands import inspect_from_arguments

    find_own_modules()
    say(inspect_from_arguments(args))


def _search(args: list[str]) -> int:
    from wsrl.studies.search_commands import search_from_arguments

    find_own_modules()
    found, left_out = search_from_arguments(args)
    say(found)
    for reason in left_out:
        complain(f"left out: {reason}")
    return 1 if left_out else 0


def _memory_analyze(args: list[str]) -> None:
    from wsrl.studies.memory_commands import analyze_from_arguments

    say(analyze_from_arguments(args))


def _encoders(args: list[str]) -> None:
    from wsrl.studies.encoder_commands import encoders_from_arguments

    find_own_modules()
    encoders_from_arguments(args)


if __name__ == "__main__":
    raise SystemExit(main())
