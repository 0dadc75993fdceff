"""The commands by name: each is a function that is registered by a decorator."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from wsrl._process import find_own_modules, named_modules
from wsrl.cli.parsing import Options, read_arguments
from wsrl.studies.configs import Config, configs_apart
from wsrl.terminal import say

Function: TypeAlias = Callable[..., str | int | None]
ConfigFiles: TypeAlias = Callable[[Sequence[Config], Sequence[str]], Sequence[Config]]
_Function = TypeVar("_Function", bound=Function)

WORDS = "words"
"""A function with this parameter alone gets the words of the command line as they are."""


@dataclass(frozen=True)
class Command:
    """A command; its function returns the text to print, or the exit status.

    Where ``configs`` is given, the command takes ``--config`` files; these are replaced by what it
    returns of them and of the other words.
    """

    name: str  # its words, as "zoo build"
    function: Function
    options: Mapping[str, Options]  # the parameters that stand for several options
    configs: ConfigFiles | None
    goes_on: bool  # with its work, when it is run again after an interruption
    own_modules: bool  # of the folder one works in are found, also where --import names none

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0].rstrip(".")

    def read(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of the function that the words after the name stand for."""
        if [*inspect.signature(self.function).parameters] == [WORDS]:
            return {WORDS: [*words]}
        if self.configs is None:
            return read_arguments(self.function, self.name, self.options, None, words)
        files, rest = configs_apart(words)
        configs = self.configs(files, rest)
        return read_arguments(self.function, self.name, self.options, configs, rest)


COMMANDS: dict[str, Command] = {}
"""All commands, in the order of their registration."""

GROUPS = {
    "zoo": "Zoos: folders of trained RNNs with their sequences, outputs and labels.",
    "memory": "Variable memories: the basis in which a hidden state is a set of variables.",
}
"""First words of commands of two words."""


def command(
    name: str,
    *,
    configs: ConfigFiles | None = None,
    goes_on: bool = False,
    own_modules: bool = False,
    **options: Options,
) -> Callable[[_Function], _Function]:
    """Register a function as a command; a decorator, with the attributes of ``Command``."""

    def register(function: _Function) -> _Function:
        COMMANDS[name] = Command(name, function, options, configs, goes_on, own_modules)
        return function

    return register


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command, and the words after it."""
    length = 2 if words and words[0] in GROUPS else 1
    return " ".join(words[:length]), list(words[length:])


def read(words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that a command line stands for, without running the command."""
    name, rest = split(words)
    return COMMANDS[name].read(rest)


def run(words: Sequence[str]) -> int:
    """Run a command in this process; print what it returns. Return the exit status."""
    chosen = COMMANDS[split(words)[0]]
    if chosen.own_modules or named_modules:
        find_own_modules()
    found = chosen.function(**read(words))
    if isinstance(found, str):
        say(found)
    return found if isinstance(found, int) else 0
