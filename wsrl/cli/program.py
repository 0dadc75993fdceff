"""The commands of ``wsrl``, and how one of them is run."""

import sys
from argparse import ArgumentError
from collections.abc import Sequence
from importlib import import_module

from wsrl import __version__
from wsrl._process import take_imports, tune_process
from wsrl.cli.commands import COMMANDS, GROUPS, run, split
from wsrl.cli.parsing import HELP
from wsrl.environment import check_numbers
from wsrl.failures import attempt, status_with_threads
from wsrl.terminal import flush, guarded, say

_MODULES = "training zoo_making zoo comparison encoders inspection analysis similarity demo"
for _module in _MODULES.split():
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
    " ".join(words).encode()  # names that no result could hold are refused before any work
    words = take_imports(words)
    name, _ = split(words)
    if name not in COMMANDS:
        group = f"wsrl {words[0]}" if words and words[0] in GROUPS else "wsrl"
        return attempt(group, lambda: _list(words))

    def command() -> int:
        check_numbers()  # Lightning reads them when it is imported
        return run(words)

    return attempt(f"wsrl {name}", command, COMMANDS[name].goes_on)


def _list(words: Sequence[str]) -> None:
    """List the commands, all or those of a group, where the words ask for help; else refuse."""
    group = words[0] if words and words[0] in GROUPS else ""
    asked = words[1 if group else 0 :]
    listed = {name: command.summary for name, command in COMMANDS.items()} | GROUPS
    known = {
        name.removeprefix(group).strip(): text
        for name, text in listed.items()
        if (name.startswith(f"{group} ") if group else " " not in name)
    }
    if [*words] == ["--version"]:
        say(f"wsrl {__version__}")
    elif asked and asked[0] in HELP:
        usage = f"usage: {f'wsrl {group}'.strip()} command ...\n\n{GROUPS.get(group, DESCRIPTION)}"
        say("\n".join([usage, "\ncommands:", *(f"  {name:12} {known[name]}" for name in known)]))
    else:
        wrong = f"there is no command {asked[0]!r}" if asked else "say which command"
        raise ArgumentError(None, f"{wrong}; choose one of {', '.join(known)}")
