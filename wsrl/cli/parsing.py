"""Parsers made from the signatures and docstrings of commands, by jsonargparse."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser
from jsonargparse.typing import restricted_number_type

from wsrl.studies.configs import Config
from wsrl.studies.options import RawHelp

if TYPE_CHECKING:
    Seed: TypeAlias = int
    Count: TypeAlias = int
    Index: TypeAlias = int
else:
    Seed = restricted_number_type("a seed", int, [(">=", -(2**63)), ("<", 2**64)])
    Count = restricted_number_type("a whole number from 1", int, [(">=", 1), ("<", 2**63)])
    Index = restricted_number_type("a whole number from 0", int, [(">=", 0), ("<", 2**63)])

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


def make_parser(
    function: Callable[..., object],
    name: str,
    options: Mapping[str, Options],
    configs: Sequence[Config] | None,
    words: Sequence[str],
) -> tuple[ArgumentParser, dict[str, tuple[Any, list[str]]]]:
    """Make the parser of a command from its function's signature and docstring.

    Args:
        function: the command's.
        name: of the command.
        options: the parameters that stand for several options.
        configs: the config files of its command line; ``None`` where it takes none.
        words: the other words.

    Returns:
        The parser; and by parameter that stands for several options the class or function, and the
        names of its options.
    """
    doc = docstring_parser.parse(function.__doc__ or "")
    texts = {known.arg_name: known.description or "" for known in doc.params}
    about = [doc.short_description or "", doc.long_description or ""]
    parser = ArgumentParser(
        prog=f"wsrl {name}",
        description=_plain("\n\n".join(about)).strip(),
        formatter_class=RawHelp,
        exit_on_error=False,
        allow_abbrev=False,
    )
    if configs is not None:
        parser.add_argument("-c", "--config", action="config", help="a YAML file of settings")
    parameters = inspect.signature(function).parameters
    unknown = {parameters[option].annotation: object for option in options}  # not imported yet
    hints = get_type_hints(
        function, localns={k.removesuffix(" | None"): v for k, v in unknown.items()}
    )
    made: dict[str, tuple[Any, list[str]]] = {}
    for parameter in parameters.values():
        several, text = options.get(parameter.name), _plain(texts.get(parameter.name, ""))
        if several is not None:
            cls = several.find(configs or (), words)
            if several.choices is not None:
                text = f"{text}: {', '.join(several.choices())}"
                parser.add_argument(f"--{parameter.name}", type=str, help=text)
            skip = several.skip(configs or (), words)
            made[parameter.name] = cls, _add_several(parser, parameter.name, several, cls, skip)
        elif parameter.name != WORDS:
            _add(parser, parameter, hints[parameter.name], text)
    return parser, made


def _add(parser: ArgumentParser, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    """Add a parameter: an argument where it may be positional and must be given, else an option."""
    is_required = parameter.default is inspect.Parameter.empty
    is_option = parameter.kind is inspect.Parameter.KEYWORD_ONLY or not is_required
    names = [f"--{parameter.name}" if is_option else parameter.name]
    how: dict[str, Any] = {"help": text}
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


def _plain(text: str) -> str:
    """Return text of a docstring as argparse takes it."""
    return text.replace("``", "").replace("%", "%%")
