"""Parsers made from the signatures and docstrings of commands, by jsonargparse."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser
from jsonargparse.typing import Path_fc, restricted_number_type

from wsrl.studies.configs import Config, one_line_errors
from wsrl.studies.options import RawHelp

if TYPE_CHECKING:
    Seed: TypeAlias = int
    Count: TypeAlias = int
    Index: TypeAlias = int
    OutFile: TypeAlias = str
else:
    Seed = restricted_number_type("a seed", int, [(">=", -(2**63)), ("<", 2**64)])
    Count = restricted_number_type("a whole number from 1", int, [(">=", 1), ("<", 2**63)])
    Index = restricted_number_type("a whole number from 0", int, [(">=", 0), ("<", 2**63)])
    OutFile = Path_fc  # of a folder that exists, so that no work is lost

HELP = {"-h", "--help"}


@dataclass(frozen=True)
class Options:
    """A parameter of a command that stands for all parameters of a class or function.

    ``of`` is ``module:name``, so that it is imported when the command is used; or what returns it
    for the config files and words of a command line. These then have an option of the parameter's
    own name, too.
    """

    of: str | Callable[[Sequence[Config], Sequence[str]], Any]
    skip: frozenset[str] = frozenset()  # parameters that are no options
    nested: bool = False  # the options are named parameter.option
    defaults: Mapping[str, Any] = field(default_factory=dict)  # others than the class has

    def find(self, configs: Sequence[Config], words: Sequence[str]) -> Any:
        """Return the class or function."""
        if callable(self.of):
            return self.of(configs, words)
        return resolve_name(self.of)

    def add(self, parser: ArgumentParser, name: str, cls: Any) -> list[str]:
        """Add the options to a parser; return their names without the parameter's."""
        add = parser.add_class_arguments if isinstance(cls, type) else parser.add_function_arguments
        added = add(cls, name if self.nested else None, skip={*self.skip})
        prefix = f"{name}." if self.nested else ""
        parser.set_defaults({f"{prefix}{known}": value for known, value in self.defaults.items()})
        return [option.removeprefix(prefix) for option in added]


def read_arguments(
    function: Callable[..., object],
    name: str,
    options: Mapping[str, Options],
    configs: Sequence[Config] | None,
    words: Sequence[str],
) -> dict[str, Any]:
    """Return the arguments of a command's function that a command line stands for.

    Options and help are made from the function's signature and docstring. ``configs`` is ``None``
    where the command takes no config files; ``words`` are the other ones after its name.

    Raises:
        argparse.ArgumentError: for a command line that makes no sense.
        ValueError: for settings that a class refuses.
    """
    doc = docstring_parser.parse(function.__doc__ or "")
    texts = {known.arg_name: _plain(known.description or "") for known in doc.params}
    parser = ArgumentParser(
        prog=f"wsrl {name}",
        description=_plain(f"{doc.short_description}\n\n{doc.long_description or ''}").strip(),
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
    with one_line_errors(configs or ()):
        for known, parameter in parameters.items():
            several, text = options.get(known), texts.get(known, "")
            if several is None:
                _add(parser, parameter, hints[known], text)
                continue
            if callable(several.of):
                parser.add_argument(f"--{known}", type=str, help=text)
            cls = several.find(configs or (), words)
            made[known] = cls, several.add(parser, known, cls)
        given = parser.parse_args([*(config.word for config in configs or ()), *words])
    given = parser.instantiate(given)
    found = {option: given[option] for option in parameters if option in given}
    for option, (cls, names) in made.items():
        if not options[option].nested:
            values = {name: given[name] for name in names}
            found[option] = cls(**values) if isinstance(cls, type) else values
    return found


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


def write(out: OutFile, text: str) -> None:
    """Write a file as a whole."""
    from wsrl.zoos.files import remove_leftovers, write_atomically

    remove_leftovers(Path(out).parent, Path(out).name)
    write_atomically(Path(out), f"{text}\n".encode())


def _plain(text: str) -> str:
    """Return text of a docstring as argparse takes it."""
    return text.replace("``", "").replace("%", "%%")
