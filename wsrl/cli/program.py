"""The commands of ``wsrl``, and how one of them is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from wsrl._process import take_imports, tune_process
from wsrl.cli.commands import COMMANDS, GROUPS, run, split
from wsrl.environment import check_numbers
from wsrl.failures import attempt, status_with_threads
from wsrl.terminal import CommandParser, flush, guarded, printable

for _module in ["training", "zoo", "comparison", "encoders", "inspection", "analysis", "demo"]:
    import_module(f"wsrl.cli.{_module}")  # registers its commands, listed in this order

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
        an unexpected error, else 1; 128 and the signal's number where one ended it.
    """
    words = list(sys.argv[1:] if args is None else args)
    with guarded() as threads:
        status = attempt("wsrl", lambda: _wsrl(words)) or attempt("wsrl", flush)
        return status_with_threads(status, threads)


def _wsrl(words: list[str]) -> int:
    tune_process()
    _check_words(words)
    words = take_imports(words)
    name, _ = split(words)
    if name not in COMMANDS:
        return _help(words)

    def command() -> int:
        check_numbers()  # Lightning reads them when it is imported
        return run(words)

    return attempt(f"wsrl {name}", command, COMMANDS[name].goes_on)


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
    return attempt(prog, lambda: bool(parser.parse_args(words[1:] if group else words)))


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
