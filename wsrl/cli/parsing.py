"""Parsers made from the signatures and docstrings of commands, by jsonargparse."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse.typing import restricted_number_type

from wsrl.studies.configs import Config, configs_apart, one_line_errors

if TYPE_CHECKING:
    Seed: TypeAlias = int
    Count: TypeAlias = int
    Index: TypeAlias = int
else:
    Seed = restricted_number_type("Seed", int, [(">=", -(2**63)), ("<", 2**64)])
    Count = restricted_number_type("Count", int, [(">=", 1), ("<", 2**63)])
    Index = restricted_number_type("Index", int, [(">=", 0), ("<", 2**63)])

WORDS = "words"
"""A parameter of this name gets the words of the command line as they are, and is no option."""

HELP = {"-h", "--help"}

Chosen: TypeAlias = Callable[[Sequence[Config], Sequence[str]], Any]
"""Chooses a class or a function by the config files and words of a command line."""


@dataclass(frozen=True)
class Options:
    """A parameter of a command that stands for several options.

    Attributes:
        of: the class or function whose parameters they are: ``module:name``, so that it is imported
            when the command is used; or what chooses it.
        skip: finds the parameters that are no options.
        choices: of an option of the parameter's own name, which says the class.
        nested: the options are named ``parameter.option``.
        defaults: other defaults than the class has.
    """

    of: str | Chosen
    skip: Callable[[Sequence[Config], Sequence[str]], set[str]] = lambda configs, words: set()
    choices: Callable[[], Sequence[str]] | None = None
    nested: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def find(self, configs: Sequence[Config], words: Sequence[str]) -> Any:
        """Return the class or function."""
        if callable(self.of):
            return self.of(configs, words)
        module, name = self.of.split(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        function: does its work, and returns the text to print, or the exit status.
        options: the parameters that stand for several options.
        configs: where given, the command takes ``--config`` files; these are replaced by what it
            returns of them and of the other words.
        goes_on: run again after an interruption, it goes on with its work.
        own_modules: modules in the folder one works in are found, as one's own encoders.
    """

    function: Callable[..., str | int | None]
    options: Mapping[str, Options] = field(default_factory=dict)
    configs: Callable[[Sequence[Config], Sequence[str]], Sequence[Config]] | None = None
    goes_on: bool = False
    own_modules: bool = False

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0].rstrip(".")

    def read(self, name: str, words: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of the function that a command line stands for.

        Args:
            name: the command's, for its help.
            words: the words after the name.

        Raises:
            argparse.ArgumentError: for a command line that makes no sense.
            ValueError: for settings that a class refuses, or a config that cannot be read.
        """
        parameters = inspect.signature(self.function).parameters
        if set(parameters) == {WORDS}:
            return {WORDS: list(words)}
        configs: Sequence[Config] = []
        rest = list(words)
        if self.configs is not None:
            found_configs, rest = configs_apart(words)
            configs = self.configs(found_configs, rest)
        with one_line_errors(configs):
            parser, made = self._parser(name, configs, rest)
            given = parser.parse_args([*(config.word for config in configs), *rest])
        given = parser.instantiate(given)
        found = {option: given[option] for option in parameters if option in given}
        for option, (cls, names) in made.items():
            if not self.options[option].nested:
                values = {name: given[name] for name in names}
                found[option] = cls(**values) if isinstance(cls, type) else values
        return found | ({WORDS: list(words)} if WORDS in parameters else {})

    def _parser(
        self, name: str, configs: Sequence[Config], words: Sequence[str]
    ) -> tuple[ArgumentParser, dict[str, tuple[Any, list[str]]]]:
        """Return the parser, and of every parameter of several options what is made of which."""
        doc = docstring_parser.parse(self.function.__doc__ or "")
        texts = {known.arg_name: known.description or "" for known in doc.params}
        about = [doc.short_description or "", doc.long_description or ""]
        parser = ArgumentParser(
            prog=f"wsrl {name}",
            description="\n\n".join(about).replace("``", "").replace("%", "%%").strip(),
            formatter_class=_Help,
            exit_on_error=False,
            allow_abbrev=False,
        )
        if self.configs is not None:
            parser.add_argument("-c", "--config", action="config", help="a YAML file of settings")
        placeholders = {
            p.annotation.removesuffix(" | None"): object
            for p in inspect.signature(self.function).parameters.values()
            if p.name in self.options
        }
        hints = get_type_hints(self.function, localns=placeholders)
        made: dict[str, tuple[Any, list[str]]] = {}
        for parameter in inspect.signature(self.function).parameters.values():
            several = self.options.get(parameter.name)
            if several is not None:
                cls = several.find(configs, words)
                if several.choices is not None:
                    text = f"{texts[parameter.name]}: {', '.join(several.choices())}"
                    parser.add_argument(f"--{parameter.name}", type=str, help=text)
                skip = several.skip(configs, words)
                made[parameter.name] = cls, _add_several(parser, parameter.name, several, cls, skip)
            elif parameter.name != WORDS:
                _add(parser, parameter, hints[parameter.name], texts.get(parameter.name, ""))
        return parser, made


class _Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Shows descriptions as they are."""


def _add(parser: ArgumentParser, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    """Add a parameter: an argument where it may be positional and must be given, else an option."""
    is_required = parameter.default is inspect.Parameter.empty
    is_option = parameter.kind is inspect.Parameter.KEYWORD_ONLY or not is_required
    names = [f"--{parameter.name}" if is_option else parameter.name]
    how: dict[str, Any] = {"help": text.replace("``", "").replace("%", "%%").replace("\n", " ")}
    kinds = [one for one in get_args(kind) if one is not NoneType]
    if len(kinds) == 1 and NoneType in get_args(kind):
        kind = kinds[0]  # left out, it is None, which nobody can say
    if kind is bool:
        parser.add_argument(*names, action="store_true", **how)
        return
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
        how["nargs"] = "+"
    if is_option:
        how |= {"required": True} if is_required else {"default": parameter.default}
    parser.add_argument(*names, type=kind, **how)


def _add_several(
    parser: ArgumentParser, name: str, several: Options, cls: Any, skip: set[str]
) -> list[str]:
    """Add the options that a parameter stands for; return their names without the parameter's."""
    nested = name if several.nested else None
    add = parser.add_class_arguments if isinstance(cls, type) else parser.add_function_arguments
    added = add(cls, nested, skip=set(skip))
    prefix = f"{name}." if several.nested else ""
    parser.set_defaults({f"{prefix}{option}": value for option, value in several.defaults.items()})
    return [option.removeprefix(prefix) for option in added]
